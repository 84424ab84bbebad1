//! The supervisor's program, and a process of it.

use std::fmt;
use std::fs::Permissions;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

use plexum_openai_provider_supervisor::Report;
use rustix::fs::{Access, MemfdFlags, SealFlags, access, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::Pid;
use tempfile::TempPath;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process;

use crate::scarcity;

/// The supervisor's program, as it was built with this crate.
const SUPERVISOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/supervisor.elf"));

/// A supervisor. When its control socket closes, so when this is dropped, it ends codex, if it has one, and itself.
pub struct Supervisor {
    /// The host's end of the socket that is its standard input.
    pub control: Control,
    /// Its process. When this is dropped, tokio reaps it later.
    pub process: process::Child,
}

/// The control socket, and the part of a report that has arrived so far.
pub struct Control {
    pub socket: UnixStream,
    part: [u8; Report::LEN],
    len: usize,
}

impl Supervisor {
    /// Starts one.
    pub fn start() -> io::Result<Self> {
        let (control, supervisors) = StdUnixStream::pair()?;
        // Before the other end is given away: a runtime that is shut down refuses this.
        control.set_nonblocking(true)?;
        let control = UnixStream::from_std(control)?;
        let in_memory = format!("/proc/self/fd/{}", program()?.as_raw_fd());
        // Without /proc, a descriptor has no name.
        let named = match Path::new("/proc/self/fd").exists() {
            true => None,
            false => Some(named_file()?),
        };
        let program = named.as_deref().unwrap_or(Path::new(&in_memory));
        let mut supervisor = std::process::Command::new(program);
        supervisor
            .arg0("plexum-codex-supervisor")
            // Codex's comes with the orders.
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(supervisors)))
            // So do these.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal goes to the host, which then stops codex cleanly.
            .process_group(0);
        // Not killed when it is dropped, because it must outlive this process.
        let process = process::Command::from(supervisor).spawn()?;
        let control = Control {
            socket: control,
            part: [0; Report::LEN],
            len: 0,
        };
        Ok(Supervisor { control, process })
    }

    /// Its process id, unless it is known to have ended.
    pub fn id(&self) -> Option<Pid> {
        let id = i32::try_from(self.process.id()?).ok()?;
        Pid::from_raw(id)
    }
}

impl Control {
    /// The supervisor's next report. May be dropped while it waits; nothing is lost.
    pub async fn report(&mut self) -> io::Result<Report> {
        loop {
            let missing = self.part.get_mut(self.len..).unwrap_or_default();
            if missing.is_empty() {
                self.len = 0;
                return Report::from_bytes(self.part)
                    .ok_or_else(|| io::Error::other("unrecognised report from the supervisor"));
            }
            let received = self.socket.async_io(Interest::READABLE, || {
                Ok(recv(&self.socket, &mut *missing, RecvFlags::empty())?)
            });
            self.len += match received.await.map(|(read, _)| read) {
                Ok(0) => return Err(killed(ErrorKind::UnexpectedEof)),
                // It has exited with a byte of ours unread.
                Err(error) if is_reset(&error) => return Err(killed(error.kind())),
                read => read?,
            };
        }
    }
}

/// Something else has killed or held the supervisor.
#[derive(Debug)]
struct Lost(&'static str);

impl std::error::Error for Lost {}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

fn killed(kind: ErrorKind) -> io::Error {
    io::Error::new(kind, Lost("the supervisor was killed"))
}

/// An error of writing to it, which it may have been killed before.
pub fn unsaid(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ (ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => killed(kind),
        _ => error,
    }
}

/// It does not say that it does its work.
pub fn silent() -> io::Error {
    io::Error::other(Lost("the supervisor does not answer"))
}

/// The supervisor was stopped, or is traced, and does not go on.
pub fn held() -> io::Error {
    io::Error::other(Lost("something holds the supervisor"))
}

/// Whether it is about a supervisor that something else has killed or held.
pub fn is_lost(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<Lost>())
}

/// Whether the other end was closed with something of this one unread.
pub fn is_reset(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionReset
}

/// The supervisor's program as a file without a name, which cannot be changed or left behind.
fn program() -> io::Result<&'static OwnedFd> {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let made = in_memory().or_else(|in_memory| {
        // What has run out has run out for a file too.
        if scarcity::limit(&in_memory).is_some() {
            return Err(in_memory);
        }
        tracing::debug!(error = %in_memory, "the supervisor's program cannot be put into memory; a file takes it");
        on_disk().map_err(|on_disk| {
            if scarcity::limit(&on_disk).is_some() {
                return on_disk;
            }
            let message = format!(
                "the supervisor's program can be put neither into memory ({in_memory}) nor into a file of {} ({on_disk}); a sandbox may forbid `memfd_create`, `sysctl vm.memfd_noexec` may be 2, and the folder may be mounted `noexec`",
                std::env::temp_dir().display()
            );
            io::Error::new(on_disk.kind(), message)
        })
    })?;
    Ok(PROGRAM.get_or_init(|| made))
}

fn in_memory() -> io::Result<OwnedFd> {
    let create = |flags| {
        memfd_create(
            "plexum-codex-supervisor",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | flags,
        )
    };
    let program = match create(MemfdFlags::EXEC) {
        // Linux before 6.3 does not know the flag, and does not need it.
        Err(Errno::INVAL) => create(MemfdFlags::empty()),
        created => created,
    }?;
    let mut file = std::fs::File::from(program);
    file.write_all(SUPERVISOR)?;
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, all)?;
    Ok(file.into())
}

/// Its name is gone before anybody runs it, and nobody has it open for writing.
fn on_disk() -> io::Result<OwnedFd> {
    let path = named_file()?;
    access(&*path, Access::EXEC_OK)?;
    let program = std::fs::File::open(&path)?;
    path.close()?;
    Ok(program.into())
}

/// The supervisor's program as a file that goes when it is dropped.
fn named_file() -> io::Result<TempPath> {
    let mut file = tempfile::Builder::new()
        .prefix("plexum-codex-supervisor-")
        .permissions(Permissions::from_mode(0o700))
        .tempfile()?;
    file.write_all(SUPERVISOR)?;
    Ok(file.into_temp_path())
}
