//! A codex that stays, and a turn of it, as others see them.
//!
//! The process belongs to a task (see `task.rs`). What is in this file may be dropped at any time: a turn that is dropped is
//! interrupted and swept, and then its codex is closed; so is one that nobody holds any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

use super::outgoing;
use super::task::{Ask, Begin, Task};
use crate::codex::ask::Clock;
use crate::codex::exit::Exit;
use crate::codex::framing::Lines;
use crate::codex::spawner::{Command, Spawner};
use crate::codex::start::StartError;
use crate::codex::stop::{Bounds, StopCause};
use crate::session::store::Session;

/// How many requests may wait for the task, which takes them at once.
const WAITING_REQUESTS: usize = 4;

/// What codex answers, or how it ended instead.
pub enum Reply {
    /// The `result` of the answer, a JSON document.
    Result(String),
    /// Codex refuses, with these words.
    Error(String),
    /// It is longer than a line may be, and was skipped.
    TooLong,
    /// Codex has not begun the turn: the turn was stopped before, or codex has ended like this.
    NotBegun(Option<Exit>),
    /// It has ended.
    Ended(Exit),
}

/// A codex that stays. Dropping it closes it.
pub struct Server {
    id: i32,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
    next_request: u64,
    /// Where the answer to the first words comes.
    hello: Option<oneshot::Receiver<Reply>>,
}

/// What a turn keeps until nothing of it is left, also if it is dropped.
pub struct Held {
    /// The conversation: others are kept out of it.
    pub session: Arc<dyn Session>,
    /// Its place among the turns of this process.
    pub _turn_slot: Option<Arc<OwnedSemaphorePermit>>,
    /// Where it is said what may still run.
    pub leftovers: UnboundedSender<String>,
}

/// What bounds a turn.
pub struct TurnLimits {
    /// How long a turn that was interrupted may take to end.
    pub grace: Duration,
    /// How much codex may say in it.
    pub max_output_bytes: u64,
}

/// A turn of a codex that stays.
pub struct Turn {
    server: Server,
    output: mpsc::Receiver<io::Result<Lines>>,
    taken: u64,
    rest: Lines,
}

/// How a turn ended.
#[derive(Debug)]
pub struct Finished {
    /// How codex ended, if it did.
    pub exit: Option<Exit>,
    /// Set when the host ended the turn, and why.
    pub stopped: Option<StopCause>,
    /// The last part of standard error.
    pub stderr: String,
    /// How many processes of the turn were left and then ended, without those that ended together with codex.
    pub swept: u32,
    /// Whether the same codex may do another turn.
    pub reusable: bool,
    /// The turn's id, if codex has named it.
    pub turn_id: Option<String>,
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
            output,
            taken: 0,
            rest: Lines::default(),
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
        if self.rest.is_end() {
            let batch = match self.output.try_recv() {
                Ok(batch) => Some(batch),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    let taken = self.taken;
                    self.server.ask(Ask::Output { idle, taken }).await;
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
