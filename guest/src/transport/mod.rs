//! The ways to talk to codex, and the vocabulary in which all of them report a turn.
//!
//! A transport reads codex's output and yields [`Said`]. Nothing outside its folder knows a JSON shape of codex or the
//! name of one of its events, so that the translation, the conversation and the failures are the same for all.

pub mod app_server;
pub mod exec;
mod retry;
pub mod stderr;
mod text;
pub mod tool;
mod warning;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::turns::{
    BlockKind, FailureKind, PlanStep, Reconnection, ToolKind, ToolStatus, Usage,
};

use tool::ToolItem;

/// One report from codex.
#[derive(Debug, PartialEq)]
pub enum Said<'a> {
    /// The thread that the turn belongs to is open. Comes before anything that the model does, and possibly more
    /// than once; a resumed thread has the id that it was asked for.
    Opened { thread_id: String },
    /// The model is at work.
    Began,
    /// The model has said or done something.
    Item { phase: Phase, item: Item<'a> },
    /// A piece of what the model is saying, as it is written. The item of that id will hold all of it.
    Piece {
        kind: BlockKind,
        item_id: Cow<'a, str>,
        text: Cow<'a, str>,
    },
    /// A running tool has written something.
    ToolOutput {
        item_id: Cow<'a, str>,
        text: Cow<'a, str>,
    },
    /// Tokens used so far, while the turn runs.
    Used(Used),
    /// The turn is over and succeeded. `totals` are the running totals of the thread including this turn, not the
    /// turn's own; absent when codex did not report them.
    Completed { totals: Option<Usage> },
    /// The turn is over and failed. `message` is the reason in the words of codex or of the service; it may be empty.
    /// `kind` is what codex calls it, where it does.
    Failed {
        message: String,
        kind: Option<FailureKind>,
    },
    /// The turn is over because it was interrupted.
    Interrupted,
    /// Something went wrong. Only [`Said::Failed`] says that it ended the turn.
    Error {
        message: String,
        /// What codex does about it; absent when it does not say that it tries again.
        retry: Option<Retry>,
    },
    /// Something that a person should know, and that does not change the turn. May come before [`Said::Began`].
    Warning { message: Cow<'a, str> },
    /// Codex says something of its own configuration, which a turn does not depend on and which its caller cannot change.
    Configuration { message: String },
    /// Another model answers from here on. `message` says why, in the words of codex.
    ModelChanged {
        previous: Option<String>,
        model: String,
        message: Cow<'a, str>,
    },
    /// A report that this version does not know; `kind` is codex's name for it.
    Unknown { kind: String },
}

/// Tokens used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Used {
    /// By this turn, where that is known.
    pub turn: Option<Usage>,
    /// By the thread.
    pub totals: Usage,
    /// How many tokens the conversation takes up in the model.
    pub context_tokens: Option<u64>,
    /// How many it may take up.
    pub context_window: Option<u64>,
}

/// The state of an item. It may be completed without having been started, and started without ever being completed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    /// It began.
    Started,
    /// It changed.
    Updated,
    /// It is over, and all of it is known.
    Completed,
}

/// What codex does about an error on its own. Until the model has used another tool it may repeat what it has said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Retry {
    /// It sends the request again, a limited number of times.
    Request(Reconnection),
    /// It waits for the network, possibly without a limit.
    Network,
}

/// Something that the model has said or done.
#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// A block of the answer. The text is the whole block when the item is completed, and may be anything before.
    Message {
        id: Cow<'a, str>,
        text: Cow<'a, str>,
    },
    /// A block of the reasoning; as for [`Item::Message`].
    Reasoning {
        id: Cow<'a, str>,
        text: Cow<'a, str>,
    },
    /// The model's plan: all of its steps, whether they have changed or not.
    Plan { steps: Vec<PlanStep> },
    /// A tool that codex runs.
    Tool(ToolItem<'a>),
    /// An item that this version does not know; `kind` is codex's name for it.
    Unknown { kind: String },
}

/// A tool that codex runs. Texts are computed when they are asked for, and may be moved out of the item: ask for each
/// once.
pub trait Tool {
    /// Codex's id for it: the same in all phases, and not always unique in a turn.
    fn id(&self) -> &str;
    /// What kind of tool it is.
    fn kind(&self) -> ToolKind;
    /// What it was called with.
    fn call(&mut self) -> ToolCall;
    /// All of its output so far; absent for a tool without output.
    fn output(&mut self) -> Option<String>;
    /// How it ended. Only a completed tool has a meaningful one.
    fn status(&self) -> ToolStatus;
    /// The exit code of a completed command.
    fn exit_code(&self) -> Option<i32>;
}

/// What a tool was called with.
#[derive(Debug, PartialEq)]
pub struct ToolCall {
    /// One line for a person.
    pub title: String,
    /// A JSON document for a runtime.
    pub input: String,
}

/// A line of codex's output that is not a report.
#[derive(Debug, PartialEq)]
pub struct Malformed {
    /// Why not.
    pub reason: String,
}
