//! The supervisor's program, and a process of it that waits for orders.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

use rustix::fs::{Access, MemfdFlags, SealFlags, access, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use tempfile::TempPath;
use tokio::net::UnixStream;
use tokio::process::{self, ChildStderr, ChildStdout};

use crate::scarcity;

/// The supervisor's program, as it was built with this crate.
const SUPERVISOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/supervisor.elf"));

/// A supervisor that waits for orders. It ends when its control socket closes, so when this is dropped.
pub struct Supervisor {
    /// The host's end of the socket that is its standard input.
    pub control: UnixStream,
    /// Its process. When this is dropped, tokio reaps it later.
    pub process: process::Child,
    /// What is to be codex's standard output.
    pub stdout: ChildStdout,
    /// What is to be codex's standard error.
    pub stderr: ChildStderr,
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
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal goes to the host, which then stops codex cleanly.
            .process_group(0);
        // Not killed when it is dropped, because it must outlive this process.
        let mut process = process::Command::from(supervisor).spawn()?;
        let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(io::Error::other("the new process has no pipes"));
        };
        Ok(Supervisor {
            control,
            process,
            stdout,
            stderr,
        })
    }
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
