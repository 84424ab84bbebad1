//! A codex that stays, and a turn of it, as others see them.
//!
//! The process belongs to a task (see `task.rs`). What is in this file may be dropped at any time: a turn that is dropped is
//! interrupted and swept, and then its codex is closed; so is one that nobody holds any more.

use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

use super::ask::{Ask, Begin, Finished, Held, Reply, TurnLimits};
use super::outgoing;
use super::task::Task;
use crate::codex::ask::Clock;
use crate::codex::exit::Exit;
use crate::codex::framing::Lines;
use crate::codex::output::Output;
use crate::codex::spawner::{Command, Spawner};
use crate::codex::start::StartError;
use crate::codex::stop::{Bounds, StopCause};

/// How many requests may wait for the task, which takes them at once.
const WAITING_REQUESTS: usize = 4;

/// A codex that stays. Dropping it closes it.
pub struct Server {
    id: i32,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
    next_request: u64,
    /// Where the answer to the first words comes.
    hello: Option<oneshot::Receiver<Reply>>,
}

/// A turn of a codex that stays.
pub struct Turn {
    server: Server,
    output: Output,
}

impl Server {
    /// Starts codex, and the task that owns it, and says the first words. `on_end` is called once, when nothing of it is
    /// left.
    pub async fn start(
        spawner: &dyn Spawner,
        command: Command<'_>,
        start_timeout: Duration,
        bounds: &mut Bounds,
        on_end: impl FnOnce(i32, &Exit) + Send + 'static,
    ) -> Result<Self, StartError> {
        let began = Instant::now();
        let grace = command.grace;
        let spawned = tokio::time::timeout(start_timeout, spawner.spawn(command));
        // As for a codex that does one turn (`codex/process.rs`): it may run before the spawner says so, and is then
        // stopped, and not abandoned.
        let spawned = bounds
            .within_grace(grace, spawned)
            .await
            .map_err(StartError::Stopped)?
            .map_err(|_| StartError::TimedOut(start_timeout))??;
        let id = spawned.id;
        let (asks, asked) = mpsc::channel(WAITING_REQUESTS);
        let task = Task::new(spawned, asked, grace, began)?;
        // Not a part of the turn that it is started in.
        let task = tokio::spawn(
            task.run(on_end)
                .instrument(tracing::info_span!(parent: None, "server", pid = id)),
        );
        let mut server = Server {
            id,
            asks,
            task,
            next_request: 0,
            hello: None,
        };
        let number = server.number();
        let hello = outgoing::initialize(number).map_err(io::Error::from)?;
        let (reply, answer) = oneshot::channel();
        server.hello = Some(answer);
        server
            .ask(Ask::Request {
                number,
                line: hello,
                reply,
            })
            .await;
        Ok(server)
    }

    /// The process's id.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Whether it may do another turn: it has not ended.
    pub fn is_alive(&self) -> bool {
        !self.asks.is_closed()
    }

    /// The number of the next request.
    pub fn number(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request
    }

    /// Waits for what codex answers to the first words, once.
    pub async fn hello(&mut self) -> io::Result<Reply> {
        match self.hello.take() {
            Some(answer) => answer.await.map_err(|_| gone()),
            None => Err(io::Error::other("codex has been greeted before")),
        }
    }

    /// Asks codex, and waits for its answer.
    pub async fn request(&self, number: u64, line: outgoing::Line) -> io::Result<Reply> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Request {
            number,
            line,
            reply,
        })
        .await;
        answer.await.map_err(|_| gone())
    }

    /// Closes it, and waits until nothing of it is left. If this is dropped, the rest happens all the same.
    pub async fn close(self) {
        drop(self.asks);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that watched codex is gone");
        }
    }

    /// Begins a turn in this thread: from here on, what codex says belongs to it.
    ///
    /// # Errors
    /// When codex has ended while it waited. Nothing of it is left then.
    pub async fn begin(
        self,
        thread_id: String,
        bounds: Bounds,
        limits: TurnLimits,
        held: Held,
    ) -> io::Result<Turn> {
        // One batch waits while the next is read.
        let (sender, output) = mpsc::channel(1);
        let (begun, has_begun) = oneshot::channel();
        let begin = Begin {
            thread_id,
            bounds,
            limits,
            held,
            sender,
        };
        self.ask(Ask::Begin(Box::new(begin), begun)).await;
        if has_begun.await.is_err() {
            self.close().await;
            return Err(gone());
        }
        Ok(Turn {
            server: self,
            output: Output::new(output),
        })
    }

    async fn ask(&self, ask: Ask) {
        // A task that is gone has already ended its process.
        let _gone = self.asks.send(ask).await;
    }
}

impl Turn {
    /// The process's id.
    pub fn server_id(&self) -> i32 {
        self.server.id
    }

    /// The codex that does it.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Gives it its prompt, and waits for codex's answer. From here on, codex is at work.
    pub async fn prompt(&self, number: u64, line: outgoing::Line) -> Reply {
        let (reply, answer) = oneshot::channel();
        self.server
            .ask(Ask::Prompt {
                number,
                line,
                reply,
            })
            .await;
        // Nobody is there to tell codex.
        answer.await.unwrap_or(Reply::NotBegun(None))
    }

    /// The next of what codex says; see [`Process::lines`](crate::codex::process::Process::lines).
    pub async fn lines(&mut self, max_bytes: usize, idle: Clock) -> io::Result<Lines> {
        let server = &self.server;
        let waits = async |taken| server.ask(Ask::Output { idle, taken }).await;
        self.output.lines(max_bytes, waits).await
    }

    /// Says which thread the turn is in, once codex has named a new one.
    pub async fn name_thread(&mut self, thread_id: String) {
        self.server.ask(Ask::Thread(thread_id)).await;
    }

    /// Asks codex to end the turn.
    pub async fn interrupt(&self, cause: StopCause) {
        self.server.ask(Ask::Interrupt(cause)).await;
    }

    /// Closes its codex, and waits until nothing of it is left. If this is dropped, the rest happens all the same.
    pub async fn close(self) {
        drop(self.output);
        self.server.close().await;
    }

    /// Waits until nothing of the turn is left, at most for `end` until codex says that it is over. The server can do
    /// another turn if [`Finished::reusable`].
    pub async fn finish(self, end: Duration) -> io::Result<(Finished, Server)> {
        let (reply, finished) = oneshot::channel();
        self.server.ask(Ask::Finish { end, reply }).await;
        // What is still in there is nobody's any more.
        drop(self.output);
        let finished = finished.await.map_err(|_| gone())?;
        Ok((finished, self.server))
    }
}

fn gone() -> io::Error {
    io::Error::other("the task that watched codex is gone; codex was stopped")
}
