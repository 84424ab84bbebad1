//! What the task that owns a codex that stays can be asked, and what it answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::outgoing;
use crate::codex::ask::Clock;
use crate::codex::exit::Exit;
use crate::codex::framing::Lines;
use crate::codex::stop::{Bounds, StopCause};
use crate::session::store::Session;

/// A request to the task.
pub enum Ask {
    /// Sends these lines, and passes on the answer to the request of that number.
    Request {
        number: u64,
        line: outgoing::Line,
        reply: oneshot::Sender<Reply>,
    },
    /// A turn begins: the conversation is about to be opened, or is open. The other is told so, unless codex has ended while
    /// it waited, or is about to.
    Begin(Box<Begin>, oneshot::Sender<()>),
    /// The thread that the turn is in.
    Thread(String),
    /// As [`Ask::Request`], for the request that gives the turn its prompt. From here on, codex is at work.
    Prompt {
        number: u64,
        line: outgoing::Line,
        reply: oneshot::Sender<Reply>,
    },
    /// The caller waits for output. It must come within `idle`, unless more than `taken` batches have been sent already.
    Output { idle: Clock, taken: u64 },
    /// End the turn.
    Interrupt(StopCause),
    /// The caller waits until the turn is over, which should not take longer than `end`, and until it is swept.
    Finish {
        end: Duration,
        reply: oneshot::Sender<Finished>,
    },
}

/// A turn that begins.
pub struct Begin {
    pub thread_id: String,
    pub bounds: Bounds,
    pub limits: TurnLimits,
    pub held: Held,
    pub sender: Sender<io::Result<Lines>>,
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
