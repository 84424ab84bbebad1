//! A running codex, as the component's `child` sees it.
//!
//! The process itself belongs to a task (see `task.rs`), which takes its requests from a channel. What is in this file
//! need not be polled, and may be dropped at any time: codex is stopped all the same.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::Instrument;

use super::framing::Lines;
use super::spawner::{Command, Spawner};
use super::stop::{Bounds, StopCause};
use super::task::{Clock, Request, Task};
use crate::grant::known_threads::Opening;
use crate::session::store::SessionGuard;

/// The most bytes of lines that are handed out at a time, unless one line is longer. It is also how far codex's output
/// is read ahead of the component.
pub const MAX_BATCH_BYTES: usize = 64 * 1024;

/// How many requests may wait for the task, which takes them at once.
const WAITING_REQUESTS: usize = 2;

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
    /// What its standard input holds; without it, standard input is empty.
    pub prompt_on_stdin: Option<String>,
    /// Keeps other turns out of the workspace; held until nothing of codex is left.
    pub guard: Option<Arc<dyn SessionGuard>>,
    /// How long it may take to print its first line.
    pub start_timeout: Duration,
    /// How long it has to exit on its own when it is stopped.
    pub grace: Duration,
    /// How much it may print.
    pub max_output_bytes: u64,
}

/// Why codex was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The turn had to end before codex ran.
    #[error("the turn was stopped before codex was started")]
    Stopped(StopCause),
    /// It did not run within the time that a start may take.
    #[error("codex did not start within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The operating system, or the spawner, refused.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

/// How a process ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Its status, from the operating system.
    pub status: ExitStatus,
    /// Set when the host stopped it.
    pub stopped: Option<StopCause>,
    /// The last part of standard error.
    pub stderr: String,
    /// How many bytes of its output were read.
    pub output_bytes: u64,
    /// Whether reading its output stopped before the end, because another process still held it open.
    pub output_cut: bool,
    /// How many processes codex left behind, which were then ended.
    pub left_behind: u32,
    /// From its start until its end.
    pub duration: Duration,
}

/// A running codex. Dropping it stops codex.
pub struct Process {
    id: i32,
    requests: mpsc::Sender<Request>,
    output: mpsc::Receiver<io::Result<Lines>>,
    /// How many batches have come out of `output`.
    taken: u64,
    /// What is left of the last one, which was more than was asked for.
    rest: Lines,
    /// Which part of its output may name its thread.
    pub opening: Opening,
    /// Set when it has ended and [`Process::wait`] has returned.
    exit: Option<Exit>,
}

impl Process {
    /// Starts codex, and the task that owns it. `on_end` is called once, when nothing of codex is left, whether or not
    /// anything waits for that.
    pub async fn spawn(
        spawner: &dyn Spawner,
        start: Start<'_>,
        mut bounds: Bounds,
        on_end: impl FnOnce(i32, &Exit) + Send + 'static,
    ) -> Result<Self, StartError> {
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
        let spawned = tokio::time::timeout(start.start_timeout, spawned);
        let spawned = bounds
            .within(spawned)
            .await
            .map_err(StartError::Stopped)?
            .map_err(|_| StartError::TimedOut(start.start_timeout))??;
        let id = spawned.id;
        let (requests, asked) = mpsc::channel(WAITING_REQUESTS);
        // One batch waits while the next is read.
        let (sender, output) = mpsc::channel(1);
        let task = Task::new(spawned, start, bounds, began, asked, sender);
        tokio::spawn(task.run(on_end).in_current_span());
        Ok(Process {
            id,
            requests,
            output,
            taken: 0,
            rest: Lines::default(),
            opening: Opening::default(),
            exit: None,
        })
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Whether all of it has ended and [`Process::wait`] has returned.
    pub fn is_over(&self) -> bool {
        self.exit.is_some()
    }

    /// The next lines of standard output, at most `max_bytes` unless the first line is longer; lines that
    /// [`Lines::is_end`] at its end. When none comes within `idle`, codex is stopped, and what it still prints is handed
    /// out. May be dropped while it waits; nothing is lost.
    pub async fn lines(&mut self, max_bytes: usize, idle: Clock) -> io::Result<Lines> {
        if self.rest.is_end() {
            let batch = match self.output.try_recv() {
                Ok(batch) => Some(batch),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    let request = Request::Output {
                        idle,
                        taken: self.taken,
                    };
                    self.request(request).await;
                    self.output.recv().await
                }
            };
            let Some(batch) = batch else {
                return Ok(Lines::default());
            };
            self.taken += 1;
            self.rest = batch?;
        }
        Ok(self.rest.take(max_bytes))
    }

    /// Waits for the process and everything that it started to end. Its output is over, so it should not take longer
    /// than `end`. May be called again.
    pub async fn wait(&mut self, end: Duration) -> io::Result<Exit> {
        if let Some(exit) = &self.exit {
            return Ok(exit.clone());
        }
        let (reply, exit) = oneshot::channel();
        self.request(Request::Exit { end, reply }).await;
        let exit = exit.await.map_err(|_| {
            io::Error::other("the task that watched codex is gone; codex was stopped")
        })?;
        Ok(self.exit.insert(exit).clone())
    }

    /// Begins to stop the process: SIGINT now, and after the grace period SIGKILL to everything that is left.
    pub async fn terminate(&self, cause: StopCause) {
        self.request(Request::Stop(cause)).await;
    }

    async fn request(&self, request: Request) {
        // A task that is gone has already ended its process.
        let _gone = self.requests.send(request).await;
    }
}
