//! Codex on this machine, under a supervisor: a process of ours that outlives this one, and ends everything
//! that codex started, whatever happens here. See the crate `plexum-openai-provider-supervisor`.

use std::fs::Permissions;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use plexum_openai_provider_supervisor::{Report, STOP, orders};
use rustix::fs::{Access, MemfdFlags, SealFlags, access, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process;
use tokio::time::Instant;

use crate::codex::spawner::{Child, Command, Gone, SpawnFuture, Spawned, Spawner};
use crate::scarcity;

/// The supervisor's program, as it was built with this crate.
const SUPERVISOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/supervisor.elf"));

/// Starts codex on this machine, under a supervisor of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Supervised;

impl Spawner for Supervised {
    fn spawn<'a>(&'a self, command: Command<'a>) -> SpawnFuture<'a, Spawned> {
        Box::pin(spawn(command))
    }
}

async fn spawn(command: Command<'_>) -> io::Result<Spawned> {
    let (control, supervisors) = StdUnixStream::pair()?;
    let (stdin, codex_stdin) = if command.stdin {
        let (reader, writer) = io::pipe()?;
        let writer = pipe::Sender::from_owned_fd(writer.into())?;
        (Some(writer), Some(OwnedFd::from(reader)))
    } else {
        (None, None)
    };
    send_orders(
        &control,
        codex_stdin.as_ref().map(AsFd::as_fd),
        command.lock,
    )?;
    // Before the other end is given away: a runtime that is shut down refuses this.
    control.set_nonblocking(true)?;
    let control = UnixStream::from_std(control)?;

    let program = program()?;
    let mut supervisor =
        std::process::Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    supervisor
        .arg0("plexum-codex-supervisor")
        .arg(command.grace.as_millis().to_string())
        .arg(command.program)
        .args(command.args)
        .current_dir(command.workspace)
        .env_clear()
        .envs(
            command
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::from(OwnedFd::from(supervisors)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal goes to the host, which then stops codex cleanly.
        .process_group(0);
    // Not killed when it is dropped, because it must outlive this process.
    let mut supervisor = process::Command::from(supervisor).spawn()?;
    let (Some(stdout), Some(stderr)) = (supervisor.stdout.take(), supervisor.stderr.take()) else {
        return Err(io::Error::other("the new process has no pipes"));
    };
    let mut child = SupervisedChild {
        control,
        supervisor,
        part: Part::default(),
        last: None,
        codex: None,
        grace: command.grace,
        kill_at: None,
    };
    match child.report().await? {
        Report::Started(id) => {
            child.codex = Pid::from_raw(id);
            Ok(Spawned {
                id,
                stdin: stdin.map(|stdin| Box::new(stdin) as _),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                child: Box::new(child),
            })
        }
        Report::NotStarted(error) => Err(io::Error::from_raw_os_error(error)),
        other => Err(unexpected(other)),
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
    let mut file = tempfile::Builder::new()
        .prefix("plexum-codex-supervisor-")
        .permissions(Permissions::from_mode(0o700))
        .tempfile()?;
    file.write_all(SUPERVISOR)?;
    let path = file.into_temp_path();
    access(&*path, Access::EXEC_OK)?;
    let program = std::fs::File::open(&path)?;
    path.close()?;
    Ok(program.into())
}

/// Sends the first byte, and the descriptors that it announces. They wait in the socket until the supervisor runs.
fn send_orders(
    control: &StdUnixStream,
    stdin: Option<BorrowedFd<'_>>,
    lock: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let given = [(orders::STDIN, stdin), (orders::LOCK, lock)];
    let given = given
        .iter()
        .filter_map(|(bit, descriptor)| descriptor.map(|descriptor| (bit, descriptor)));
    let (bits, descriptors): (Vec<u8>, Vec<BorrowedFd<'_>>) = given.unzip();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other(
            "the control message cannot hold two descriptors",
        ));
    }
    let orders = [bits.iter().fold(0, |orders, bit| orders | bit)];
    sendmsg(
        control,
        &[IoSlice::new(&orders)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// A codex under its supervisor. Dropping this closes the control socket, and the supervisor does the rest.
struct SupervisedChild {
    control: UnixStream,
    /// When this is dropped, tokio reaps it later.
    supervisor: process::Child,
    part: Part,
    /// Its last report, when that has come.
    last: Option<Report>,
    codex: Option<Pid>,
    grace: Duration,
    /// Set when the supervisor was lost: when to kill codex, which got SIGINT at that moment.
    kill_at: Option<Instant>,
}

/// The part of a report that has arrived so far.
#[derive(Default)]
struct Part {
    bytes: [u8; Report::LEN],
    len: usize,
}

impl Child for SupervisedChild {
    fn stop(&mut self) {
        if let Err(error) = self.control.try_write(&[STOP]) {
            tracing::debug!(%error, "the stop did not reach the supervisor, which has exited");
        }
    }

    fn ended(&mut self) -> SpawnFuture<'_, ExitStatus> {
        Box::pin(async {
            match self.report().await {
                Ok(Report::Ended(status)) => Ok(ExitStatus::from_raw(status)),
                Ok(other) => Err(unexpected(other)),
                Err(error) => {
                    self.end_codex().await?;
                    Err(error)
                }
            }
        })
    }

    fn gone(&mut self) -> SpawnFuture<'_, Gone> {
        Box::pin(async {
            let report = match self.last {
                Some(report) => report,
                None => {
                    let report = self.report().await?;
                    self.last = Some(report);
                    report
                }
            };
            // Something of the turn is left until the supervisor has exited too.
            match self.supervisor.wait().await {
                // Where SIGCHLD is ignored, the kernel has waited for it.
                Err(error) if error.raw_os_error() == Some(Errno::CHILD.raw_os_error()) => {}
                waited => drop(waited?),
            }
            match report {
                Report::Gone(ended) => Ok(Gone::All {
                    ended: ended.unsigned_abs(),
                }),
                Report::Left(count) => Ok(Gone::Left {
                    count: count.unsigned_abs(),
                }),
                other => Err(unexpected(other)),
            }
        })
    }
}

impl SupervisedChild {
    /// The supervisor's next report. May be dropped while it waits; nothing is lost.
    async fn report(&mut self) -> io::Result<Report> {
        loop {
            let Part { bytes, len } = &mut self.part;
            let missing = bytes.get_mut(*len..).unwrap_or_default();
            if missing.is_empty() {
                *len = 0;
                return Report::from_bytes(*bytes)
                    .ok_or_else(|| io::Error::other("unrecognised report from the supervisor"));
            }
            *len += match self.control.read(missing).await {
                Ok(0) => return Err(lost()),
                // It has exited with a byte of ours unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(lost()),
                read => read?,
            };
        }
    }

    /// The supervisor was killed, so codex got SIGINT. Waits for codex to exit, and kills its process group after the
    /// grace period.
    async fn end_codex(&mut self) -> io::Result<()> {
        let Some(codex) = self.codex else {
            return Ok(());
        };
        let kill_at = *self.kill_at.get_or_insert(Instant::now() + self.grace);
        let descriptor = match pidfd_open(codex, PidfdFlags::empty()) {
            // SAFETY: an `OwnedFd` is the same descriptor for all its life.
            Ok(descriptor) => unsafe {
                AsyncFd::register_with_interest(descriptor, Interest::READABLE)?
            },
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if tokio::time::timeout_at(kill_at, descriptor.readable())
            .await
            .is_err()
        {
            kill_process_group(codex, Signal::KILL)?;
        }
        Ok(())
    }
}

fn lost() -> io::Error {
    let message = "the supervisor was killed; processes that codex started may still be running";
    io::Error::new(ErrorKind::UnexpectedEof, message)
}

fn unexpected(report: Report) -> io::Error {
    io::Error::other(format!("unexpected report from the supervisor: {report:?}"))
}
