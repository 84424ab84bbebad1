//! One process of codex: started, read, stopped, reaped.
//!
//! It runs in a process group of its own, with standard input closed or holding the prompt. SIGINT
//! is the only signal on which codex cleans up the tools that it started, so that comes
//! first, and SIGKILL after a grace period.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::framing::{Framer, Lines, MAX_LINE_BYTES};
use crate::session_store::SessionGuard;
use crate::stop::{Stop, StopCause};
use crate::thread_id::Opening;

/// How long codex may take to clean up after SIGINT.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// How long output may still come after codex has ended: a tool that it left behind may hold
/// the pipes open for ever.
pub(crate) const DRAIN: Duration = Duration::from_millis(500);

/// How much of standard error is kept, from its end.
pub(crate) const STDERR_BYTES: usize = 64 * 1024;

/// A running codex. Dropping it stops it.
pub struct Process {
    pid: Pid,
    child: Option<Child>,
    stdout: Framer<ChildStdout>,
    stderr: Stderr,
    /// Feeds the prompt; ends by itself when codex has read it or has gone.
    _stdin: Option<JoinHandle<()>>,
    stop: Stop,
    /// Kept until the process has been reaped, also by [`Drop`].
    guard: Option<Arc<SessionGuard>>,
    began: Instant,
    /// How many bytes of its output have been handed out.
    output_bytes: u64,
    /// Which part of its output may name its thread.
    pub opening: Opening,
    /// Until when the first line must have come; `None` when it has.
    start_deadline: Option<Instant>,
    /// When the turn must be over.
    turn_deadline: Instant,
    /// Set when the host has begun to stop it: why, and since when.
    stopping: Option<(StopCause, Instant)>,
    /// Set when it has ended: how, and until when its pipes are read.
    ended: Option<(ExitStatus, Instant)>,
}

/// What to start.
pub struct Start<'a> {
    /// The program, resolved.
    pub program: &'a Path,
    /// Its arguments, checked.
    pub args: &'a [String],
    /// Its working folder.
    pub workspace: &'a Path,
    /// All of its environment variables.
    pub environment: Vec<(OsString, OsString)>,
    /// What its standard input holds; without it, that is closed.
    pub prompt_on_stdin: Option<String>,
    /// What keeps other turns out of the workspace; held until the process is gone.
    pub guard: Option<Arc<SessionGuard>>,
    /// How long it may take to print its first line.
    pub start_timeout: Duration,
    /// When the turn must be over.
    pub turn_deadline: Instant,
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// What the operating system says.
    pub status: ExitStatus,
    /// Set when the host stopped it.
    pub stopped: Option<StopCause>,
    /// The last part of standard error.
    pub stderr: String,
    /// How many bytes of its output were handed out.
    pub output_bytes: u64,
    /// From its start until now.
    pub duration: Duration,
}

impl Process {
    /// Starts codex. `stop` tells when the turn is to end early.
    pub fn spawn(start: Start<'_>, stop: Stop) -> io::Result<Self> {
        let prompt_on_stdin = start.prompt_on_stdin;
        let mut child = Command::new(start.program)
            .args(start.args)
            .current_dir(start.workspace)
            .env_clear()
            .envs(start.environment)
            // An open pipe that nobody writes to would make codex wait for ever.
            .stdin(if prompt_on_stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (Some(pid), Some(stdout), Some(stderr)) =
            (pid, child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the new process has no id or no pipes"));
        };
        let stdin = child.stdin.take().zip(prompt_on_stdin);
        Ok(Process {
            pid,
            child: Some(child),
            stdout: Framer::new(stdout, MAX_LINE_BYTES),
            stderr: Stderr::drain(stderr),
            _stdin: stdin.map(|(stdin, prompt)| tokio::spawn(feed(stdin, prompt))),
            stop,
            guard: start.guard,
            began: Instant::now(),
            output_bytes: 0,
            opening: Opening::default(),
            start_deadline: Some(Instant::now() + start.start_timeout),
            turn_deadline: start.turn_deadline,
            stopping: None,
            ended: None,
        })
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The next lines of standard output; see [`Framer::lines`]. When the turn is to end early, or
    /// no line comes within `idle`, this stops the process and hands out what it still prints.
    pub async fn lines(&mut self, max_bytes: usize, idle: Duration) -> io::Result<Lines> {
        let idle = (Instant::now() + idle, StopCause::IdleTimeout);
        let idle = self
            .start_deadline
            .map_or(idle, |start| (start, StopCause::StartTimeout));
        loop {
            let (deadline, due) = self.deadline(Some(idle));
            let step = {
                let lines = pin!(self.stdout.lines(max_bytes));
                tokio::select! {
                    biased;
                    lines = lines => {
                        self.start_deadline = None;
                        let lines = lines?;
                        self.output_bytes += lines.text.len() as u64;
                        return Ok(lines);
                    }
                    status = wait(&mut self.child), if self.ended.is_none() => Step::Ended(status?),
                    cause = self.stop.requested(), if self.stopping.is_none() => Step::Due(Due::Stop(cause)),
                    () = tokio::time::sleep_until(deadline) => Step::Due(due),
                }
            };
            self.take_step(step);
        }
    }

    /// Waits for the process to end.
    pub async fn wait(&mut self) -> io::Result<Exit> {
        let status = loop {
            if let Some((status, _)) = self.ended {
                break status;
            }
            let (deadline, due) = self.deadline(None);
            let step = tokio::select! {
                biased;
                status = wait(&mut self.child) => Step::Ended(status?),
                cause = self.stop.requested(), if self.stopping.is_none() => Step::Due(Due::Stop(cause)),
                () = tokio::time::sleep_until(deadline) => Step::Due(due),
            };
            self.take_step(step);
        };
        Ok(Exit {
            status,
            stopped: self.stopping.map(|(cause, _)| cause),
            stderr: self.stderr.last().await,
            output_bytes: self.output_bytes,
            duration: self.began.elapsed(),
        })
    }

    /// Begins to stop the process: SIGINT now, SIGKILL after the grace period.
    pub fn terminate(&mut self, cause: StopCause) {
        if self.stopping.is_none() && self.ended.is_none() {
            self.stopping = Some((cause, Instant::now()));
            signal(self.pid, Signal::INT);
        }
    }

    /// What has to be done next although nothing happens, and when.
    fn deadline(&self, idle: Option<(Instant, StopCause)>) -> (Instant, Due) {
        match (self.ended, self.stopping) {
            (Some((_, drained)), _) => (drained, Due::EndOutput),
            (None, Some((_, since))) => (since + GRACE, Due::Kill),
            (None, None) => {
                let turn = (self.turn_deadline, StopCause::TurnTimeout);
                let (deadline, cause) = idle.filter(|idle| idle.0 < turn.0).unwrap_or(turn);
                (deadline, Due::Stop(cause))
            }
        }
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::Ended(status) => self.ended = Some((status, Instant::now() + DRAIN)),
            Step::Due(Due::Stop(cause)) => self.terminate(cause),
            Step::Due(Due::EndOutput) => {
                tracing::warn!(
                    pid = self.id(),
                    "codex has ended and something that it started still holds its output; it is no longer read"
                );
                self.stdout.end();
            }
            Step::Due(Due::Kill) => {
                tracing::warn!(
                    pid = self.id(),
                    "codex did not end within the grace period; it is killed"
                );
                kill_group(self.pid);
                // Once is enough, but there is no harm in looking again.
                if let Some((_, since)) = &mut self.stopping {
                    *since = Instant::now();
                }
            }
        }
    }
}

enum Step {
    Ended(ExitStatus),
    Due(Due),
}

enum Due {
    Stop(StopCause),
    Kill,
    EndOutput,
}

async fn wait(child: &mut Option<Child>) -> io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => Err(io::Error::other("the process has been given away")),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        let (pid, child, guard) = (self.pid, self.child.take(), self.guard.take());
        signal(pid, Signal::INT);
        match (tokio::runtime::Handle::try_current(), child) {
            (Ok(runtime), Some(mut child)) => {
                runtime.spawn(async move {
                    let _guard = guard;
                    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                        kill_group(pid);
                        if let Err(error) = child.wait().await {
                            tracing::warn!(%error, "a stopped codex could not be reaped");
                        }
                    }
                });
            }
            // No runtime, so nobody can wait: `kill_on_drop` reaps the child itself.
            _ => kill_group(pid),
        }
    }
}

fn signal(pid: Pid, signal: Signal) {
    if let Err(error) = kill_process(pid, signal) {
        tracing::debug!(%error, pid = pid.as_raw_nonzero().get(), "the process could not be signalled; it has ended by itself");
    }
}

fn kill_group(pid: Pid) {
    if let Err(error) = kill_process_group(pid, Signal::KILL) {
        tracing::debug!(%error, pid = pid.as_raw_nonzero().get(), "the process group could not be killed; it has ended by itself");
    }
}

/// Writes the prompt and closes the pipe.
async fn feed(mut stdin: ChildStdin, prompt: String) {
    // A codex that ends before it has read everything says why on its own.
    if let Err(error) = stdin.write_all(prompt.as_bytes()).await {
        tracing::debug!(%error, "codex did not read the whole prompt");
    }
}

/// Standard error, read all the time so that codex never waits for room in the pipe.
struct Stderr {
    tail: Arc<Mutex<VecDeque<u8>>>,
    reader: JoinHandle<()>,
}

impl Stderr {
    fn drain(mut pipe: ChildStderr) -> Self {
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let shared = Arc::clone(&tail);
        let reader = tokio::spawn(async move {
            let mut chunk = vec![0; 8 * 1024];
            loop {
                let read = match pipe.read(&mut chunk).await {
                    Ok(0) => return,
                    Ok(read) => read,
                    Err(error) => {
                        return tracing::warn!(%error, "codex's standard error cannot be read");
                    }
                };
                let mut tail = shared.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend(chunk.get(..read).unwrap_or_default());
                let surplus = tail.len().saturating_sub(STDERR_BYTES);
                tail.drain(..surplus);
            }
        });
        Stderr { tail, reader }
    }

    /// What is kept, once the pipe is closed or has had time enough to be.
    async fn last(&mut self) -> String {
        if !self.reader.is_finished()
            && tokio::time::timeout(DRAIN, &mut self.reader).await.is_err()
        {
            tracing::warn!(
                "codex has ended and something that it started still holds its standard error; it is no longer read"
            );
            self.reader.abort();
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(tail.make_contiguous()).into_owned()
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
