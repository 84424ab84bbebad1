//! A running codex, as the component's `child` sees it.
//!
//! The process itself belongs to a task (see `task.rs`), which takes its requests from a channel. What is in this file
//! need not be polled, and may be dropped at any time: codex is stopped all the same.

use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::Instrument;

use super::ask::{Ask, Clock};
use super::exit::Exit;
use super::framing::Lines;
use super::output::Output;
use super::spawner::{Command, Spawner};
use super::start::{Start, StartError};
use super::stop::{Bounds, StopCause};
use super::task::Task;
use crate::grant::known_threads::Opening;

/// How many requests may wait for the task, which takes them at once.
const WAITING_REQUESTS: usize = 2;

/// A running codex. Dropping it stops codex.
pub struct Process {
    id: i32,
    requests: mpsc::Sender<Ask>,
    output: Output,
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
        // If the turn must end already, nothing is started.
        let is_over = bounds.within(std::future::ready(())).await;
        is_over.map_err(StartError::Stopped)?;
        let began = Instant::now();
        // Held until the task exists: only the task can act on a suspension.
        let _starting = bounds.stop.starting();
        let spawned = spawner.spawn(Command {
            program: start.program,
            args: start.args,
            workspace: start.workspace,
            environment: start.environment,
            stdin: start.prompt_on_stdin.is_some(),
            grace: start.grace,
            lock: start.session.as_ref().and_then(|session| session.lock()),
        });
        // A file system that does not answer holds up the start too.
        let spawned = tokio::time::timeout(start.start_timeout, spawned);
        // Codex may run before the spawner says so. A turn that must end meanwhile waits for that, and then stops codex
        // as it stops any: if the start were abandoned, codex would end some time after the turn.
        let spawned = bounds
            .within_grace(start.grace, spawned)
            .await
            .map_err(StartError::Stopped)?
            .map_err(|_| StartError::TimedOut(start.start_timeout))??;
        let id = spawned.id;
        let (requests, asked) = mpsc::channel(WAITING_REQUESTS);
        // One batch waits while the next is read.
        let (sender, output) = mpsc::channel(1);
        let task = Box::new(Task::new(spawned, start, bounds, began, asked, sender));
        tokio::spawn(task.run(on_end).in_current_span());
        Ok(Process {
            id,
            requests,
            output: Output::new(output),
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
        let requests = &self.requests;
        // A task that is gone has already ended its process.
        let waits = async |taken| drop(requests.send(Ask::Output { idle, taken }).await);
        self.output.lines(max_bytes, waits).await
    }

    /// Waits for the process and everything that it started to end. Its output is over, so it should not take longer
    /// than `end`. May be called again.
    pub async fn wait(&mut self, end: Duration) -> io::Result<Exit> {
        if let Some(exit) = &self.exit {
            return Ok(exit.clone());
        }
        let (reply, exit) = oneshot::channel();
        self.ask(Ask::Exit { end, reply }).await;
        let exit = exit.await.map_err(|_| {
            io::Error::other("the task that watched codex is gone; codex was stopped")
        })?;
        Ok(self.exit.insert(exit).clone())
    }

    /// Begins to stop the process: SIGINT now, and after the grace period SIGKILL to everything that is left.
    pub async fn terminate(&self, cause: StopCause) {
        self.ask(Ask::Stop(cause)).await;
    }

    async fn ask(&self, ask: Ask) {
        // A task that is gone has already ended its process.
        let _gone = self.requests.send(ask).await;
    }
}
