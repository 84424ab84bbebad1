//! One run of codex: its output, its clocks, its end.
//!
//! A [`Spawner`](crate::Spawner) starts it and stops it; this decides when.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::codex::framing::{Framer, Lines, MAX_LINE_BYTES};
use crate::codex::spawner::{Child, Command, Gone, Spawned, Spawner};
use crate::codex::stop::{Stop, StopCause};
use crate::grant::known_threads::Opening;
use crate::session::store::SessionGuard;

/// How long output may still come after codex has ended: what it left behind may hold the pipes open, and may
/// be what cannot be ended.
pub(crate) const DRAIN: Duration = Duration::from_millis(500);

/// How long after the grace period everything must be over. The supervisor gives up before that.
const BACKSTOP: Duration = Duration::from_secs(10);

/// How much of standard error is kept, from its end.
pub(crate) const STDERR_BYTES: usize = 64 * 1024;

/// A running codex. Dropping it stops it.
pub struct Process {
    id: i32,
    /// Taken when this is dropped.
    child: Option<Box<dyn Child>>,
    stdout: Framer<Box<dyn AsyncRead + Send + Unpin>>,
    stderr: Stderr,
    /// Feeds the prompt; ends by itself when codex has read it or has gone.
    _stdin: Option<JoinHandle<()>>,
    stop: Stop,
    /// Kept until nothing of codex is left, also by [`Drop`].
    guard: Option<Arc<dyn SessionGuard>>,
    began: Instant,
    /// How many bytes of its output have been handed out, and how many may be.
    output_bytes: u64,
    max_output_bytes: u64,
    output_cut: bool,
    /// Which part of its output may name its thread.
    pub opening: Opening,
    /// Until when the first line must have come; `None` when it has.
    start_deadline: Option<Instant>,
    /// When the turn must be over.
    turn_deadline: Instant,
    grace: Duration,
    /// Set when the host has begun to stop it: why, and since when.
    stopping: Option<(StopCause, Instant)>,
    /// Set when it has ended: how, and until when its pipes are read.
    ended: Option<(ExitStatus, Instant)>,
    /// Set when the supervisor was lost: what it said.
    lost: Option<io::Error>,
    /// Whether its end has been noted.
    noted: bool,
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
    pub environment: &'a [(OsString, OsString)],
    /// What its standard input holds; without it, that is closed.
    pub prompt_on_stdin: Option<String>,
    /// What keeps other turns out of the workspace; held until nothing of codex is left.
    pub guard: Option<Arc<dyn SessionGuard>>,
    /// How long it may take to print its first line.
    pub start_timeout: Duration,
    /// When the turn must be over.
    pub turn_deadline: Instant,
    /// How long it has to end by itself when it is stopped.
    pub grace: Duration,
    /// How much it may print.
    pub max_output_bytes: u64,
}

/// How long to wait for the next line, and what it means when none comes.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// How long.
    pub duration: Duration,
    /// What it means.
    pub cause: StopCause,
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
    /// Whether its output was given up before its end, because something still held it open.
    pub output_cut: bool,
    /// How many processes were ended after codex had left them behind.
    pub left_behind: u32,
    /// From its start until now.
    pub duration: Duration,
}

impl Process {
    /// Starts codex. `stop` tells when the turn is to end early.
    pub async fn spawn(spawner: &dyn Spawner, start: Start<'_>, stop: Stop) -> io::Result<Self> {
        let began = Instant::now();
        let spawned = spawner.spawn(Command {
            program: start.program,
            args: start.args,
            workspace: start.workspace,
            environment: start.environment,
            stdin: start.prompt_on_stdin.is_some(),
            grace: start.grace,
            lock: start.guard.as_ref().and_then(|guard| guard.lock()),
        });
        // A file system that does not answer holds up the start too.
        let Spawned {
            id,
            stdin,
            stdout,
            stderr,
            child,
        } = tokio::time::timeout(start.start_timeout, spawned).await??;
        let stdin = stdin.zip(start.prompt_on_stdin);
        Ok(Process {
            id,
            child: Some(child),
            stdout: Framer::new(stdout, MAX_LINE_BYTES),
            stderr: Stderr::drain(stderr),
            _stdin: stdin.map(|(stdin, prompt)| tokio::spawn(feed(stdin, prompt))),
            stop,
            guard: start.guard,
            began,
            output_bytes: 0,
            max_output_bytes: start.max_output_bytes,
            output_cut: false,
            opening: Opening::default(),
            start_deadline: Some(began + start.start_timeout),
            turn_deadline: start.turn_deadline,
            grace: start.grace,
            stopping: None,
            ended: None,
            lost: None,
            noted: false,
        })
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Whether its end is still to be noted, in the metrics, the log, and the record. True once.
    pub fn take_unnoted(&mut self) -> bool {
        !std::mem::replace(&mut self.noted, true)
    }

    /// Whether all of it has ended, and [`Process::wait`] has said how.
    pub fn is_over(&self) -> bool {
        self.child.is_none() || self.lost.is_some()
    }

    /// The next lines of standard output; see [`Framer::lines`]. When the turn is to end early, or
    /// no line comes within `idle`, or more has come than may, this stops the process and hands out what it still
    /// prints.
    pub async fn lines(&mut self, max_bytes: usize, idle: Clock) -> io::Result<Lines> {
        let idle = (Instant::now() + idle.duration, idle.cause);
        let idle = self
            .start_deadline
            .map_or(idle, |start| (start, StopCause::StartTimeout));
        loop {
            let (deadline, due) = self.deadline(idle);
            let step = {
                let lines = pin!(self.stdout.lines(max_bytes));
                tokio::select! {
                    biased;
                    lines = lines => Step::Lines(lines?),
                    ended = ended(&mut self.child), if self.ended.is_none() => Step::Other(Happened::Ended(ended)),
                    cause = self.stop.requested(), if self.stopping.is_none() => Step::Other(Happened::Due(Due::Stop(cause))),
                    () = tokio::time::sleep_until(deadline) => Step::Other(Happened::Due(due)),
                }
            };
            match step {
                Step::Lines(lines) => {
                    self.take_note(&lines);
                    return Ok(lines);
                }
                Step::Other(event) => self.take(event),
            }
        }
    }

    fn take_note(&mut self, lines: &Lines) {
        if !lines.is_end() {
            self.start_deadline = None;
        }
        self.output_bytes += lines.text.len() as u64 + lines.skipped.iter().sum::<u64>();
        if self.output_bytes > self.max_output_bytes && self.stopping.is_none() {
            self.terminate(StopCause::OutputLimit);
            self.stdout.end();
        }
    }

    /// Waits for the process to end, and for everything that it started. Its output is over, so that it has no reason
    /// to take longer than `end`.
    pub async fn wait(&mut self, end: Duration) -> io::Result<Exit> {
        let end = (Instant::now() + end, StopCause::Lingering);
        let status = loop {
            if let Some((status, _)) = self.ended {
                break status;
            }
            let (deadline, due) = self.deadline(end);
            let event = tokio::select! {
                biased;
                ended = ended(&mut self.child) => Happened::Ended(ended),
                cause = self.stop.requested(), if self.stopping.is_none() => Happened::Due(Due::Stop(cause)),
                () = tokio::time::sleep_until(deadline) => Happened::Due(due),
            };
            self.take(event);
        };
        let left_behind = self.left_behind().await;
        let mut stderr = self.stderr.last().await;
        if let Some(lost) = &self.lost {
            stderr.push_str(&format!("\n{lost}\n"));
        }
        Ok(Exit {
            status,
            stopped: self.stopping.map(|(cause, _)| cause),
            stderr,
            output_bytes: self.output_bytes,
            output_cut: self.output_cut,
            left_behind,
            duration: self.began.elapsed(),
        })
    }

    /// Waits until nothing that codex started is left, and says how much of it had to be ended.
    async fn left_behind(&mut self) -> u32 {
        let Some(child) = self.child.as_mut().filter(|_| self.lost.is_none()) else {
            return 0;
        };
        let gone = tokio::time::timeout(BACKSTOP, child.gone()).await;
        self.child = None;
        self.guard = None;
        let id = self.id;
        match gone {
            Ok(Ok(Gone::All { ended: 0 })) => 0,
            Ok(Ok(Gone::All { ended })) => {
                tracing::warn!(
                    pid = id,
                    ended,
                    "codex left processes behind; they were ended"
                );
                ended
            }
            Ok(Ok(Gone::Left { count })) => {
                tracing::error!(
                    pid = id,
                    count,
                    "codex left processes behind that cannot be ended"
                );
                count
            }
            Ok(Err(error)) => {
                tracing::error!(pid = id, %error, "whether codex left processes behind is unknown");
                0
            }
            Err(_) => {
                tracing::error!(
                    pid = id,
                    "whether codex left processes behind is unknown: nobody answers"
                );
                0
            }
        }
    }

    /// Begins to stop the process: SIGINT now, SIGKILL to everything that is left after the grace period.
    pub fn terminate(&mut self, cause: StopCause) {
        if self.stopping.is_none() && self.ended.is_none() {
            self.stopping = Some((cause, Instant::now()));
            if let Some(child) = &mut self.child {
                child.stop();
            }
        }
    }

    /// What has to be done next although nothing happens, and when.
    fn deadline(&self, idle: (Instant, StopCause)) -> (Instant, Due) {
        match (self.ended, self.stopping) {
            (Some((_, drained)), _) => (drained, Due::EndOutput),
            (None, Some((_, since))) => (since + self.grace + BACKSTOP, Due::GiveUp),
            (None, None) => {
                let turn = (self.turn_deadline, StopCause::TurnTimeout);
                let (deadline, cause) = if idle.0 < turn.0 { idle } else { turn };
                (deadline, Due::Stop(cause))
            }
        }
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Ended(Ok(status)) => self.ended = Some((status, Instant::now() + DRAIN)),
            Happened::Ended(Err(error)) => {
                tracing::error!(pid = self.id, %error, "how codex ended is unknown");
                self.lost = Some(error);
                self.ended = Some((ExitStatus::from_raw(KILLED), Instant::now() + DRAIN));
            }
            Happened::Due(Due::Stop(cause)) => self.terminate(cause),
            Happened::Due(Due::EndOutput) => {
                tracing::warn!(
                    pid = self.id,
                    "codex has ended and something that it started still holds its output; it is no longer read"
                );
                self.output_cut = true;
                self.stdout.end();
            }
            Happened::Due(Due::GiveUp) => {
                let error =
                    io::Error::other("codex was stopped, and nobody answers whether it has ended");
                self.take(Happened::Ended(Err(error)));
            }
        }
    }
}

/// The status of a process that SIGKILL ended, in the form of `wait(2)`.
const KILLED: i32 = 9;

/// What a wait for lines comes to.
enum Step {
    Lines(Lines),
    Other(Happened),
}

enum Happened {
    Ended(io::Result<ExitStatus>),
    Due(Due),
}

enum Due {
    Stop(StopCause),
    GiveUp,
    EndOutput,
}

async fn ended(child: &mut Option<Box<dyn Child>>) -> io::Result<ExitStatus> {
    match child {
        Some(child) => child.ended().await,
        None => Err(io::Error::other("the process has been waited for")),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let (Some(mut child), Some(guard)) = (self.child.take(), self.guard.take()) else {
            return;
        };
        // Whoever was handed the lock with the process keeps it as long as need be.
        if guard.lock().is_some() {
            return;
        }
        // Without a runtime nobody can wait.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        child.stop();
        let (ended, bound, id) = (self.ended.is_some(), self.grace + BACKSTOP, self.id);
        runtime.spawn(async move {
            let _guard = guard;
            let gone = async {
                if !ended {
                    child.ended().await?;
                }
                child.gone().await
            };
            match tokio::time::timeout(bound, gone).await {
                Ok(Ok(gone)) => tracing::debug!(
                    pid = id,
                    ?gone,
                    "a codex that nobody wants any more has ended"
                ),
                Ok(Err(error)) => tracing::error!(pid = id, %error, "how codex ended is unknown"),
                Err(_) => tracing::error!(
                    pid = id,
                    "codex was stopped, and nobody answers whether it has ended"
                ),
            }
        });
    }
}

/// Writes the prompt and closes the pipe.
async fn feed(mut stdin: Box<dyn AsyncWrite + Send + Unpin>, prompt: String) {
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
    fn drain(mut pipe: Box<dyn AsyncRead + Send + Unpin>) -> Self {
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
