//! The canonical events: what happens in a turn, in the form that runtimes see.
//!
//! In JSON each is one object with a `type` in snake_case; members that do not apply
//! are left out.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::tool_input::ToolInput;

/// Something that happened in a turn. It is read from JSON by `serde_json` only.
// `remote`: the derived code is called by the implementations below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The conversation is open. The first event of a turn, absent only when the turn failed
    /// before that.
    #[non_exhaustive]
    MessageStart {
        /// The conversation, as codex names it: a UUID.
        thread_id: String,
        /// Whether the model remembers earlier turns of it.
        resumed: bool,
        /// The model that answers, where codex says so. It need not be the one that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// Another model answers from here on.
    #[non_exhaustive]
    ModelChange {
        /// The model that answered before, where codex says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<String>,
        /// The model that answers now.
        model: String,
        /// Why, in a sentence for a person.
        reason: String,
    },
    /// Text of the answer.
    TextDelta {
        /// Which block of the answer, counted from 0.
        index: u32,
        /// What to append to that block.
        text: String,
    },
    /// Text of the model's reasoning.
    ThinkingDelta {
        /// Which block of the reasoning, counted from 0.
        index: u32,
        /// What to append to that block.
        text: String,
    },
    /// A block has ended: nothing is appended to it any more. A block also ends where another one of its kind, a tool or
    /// the end of the turn follows: `codex exec`, which gives each in one piece, has no such events.
    #[non_exhaustive]
    BlockEnd {
        /// What it belongs to.
        kind: BlockKind,
        /// Which one.
        index: u32,
        /// How it ended.
        outcome: BlockOutcome,
    },
    /// A tool began. Tools run inside codex: show them, never run them.
    #[non_exhaustive]
    ToolStart {
        /// Pairs this with its later events; unique within the turn.
        id: String,
        /// What it does.
        kind: ToolKind,
        /// One line for a person.
        title: String,
        /// What it was called with, in JSON.
        input: ToolInput,
    },
    /// A running tool has written something.
    #[non_exhaustive]
    ToolUpdate {
        /// That of its `ToolStart`.
        id: String,
        /// What to append to its output. Some of the output may never come this way: `ToolEnd` has all of it.
        output_delta: String,
    },
    /// A tool ended.
    #[non_exhaustive]
    ToolEnd {
        /// That of its `ToolStart`.
        id: String,
        /// How.
        status: ToolStatus,
        /// All that it produced, where codex shows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        /// The exit code of a command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
    /// The model's plan, whole, each time it changes.
    #[non_exhaustive]
    Plan {
        /// Its steps, in order.
        steps: Vec<PlanStep>,
    },
    /// How many tokens have been used so far, while the turn runs.
    #[non_exhaustive]
    Usage {
        /// By this turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// By the whole conversation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_usage: Option<Usage>,
        /// How many tokens the conversation takes up in the model now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context_tokens: Option<u64>,
        /// How many it may take up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context_window: Option<u64>,
    },
    /// Something worth knowing that does not end the turn.
    #[non_exhaustive]
    Notice {
        /// What it is about, for a program. Its members stand beside `message` in JSON.
        #[serde(flatten)]
        kind: NoticeKind,
        /// The same in a sentence for a person.
        message: String,
    },
    /// The end. Every turn has exactly one, and nothing follows it.
    #[non_exhaustive]
    MessageEnd {
        /// Why it ended.
        stop_reason: StopReason,
        /// Tokens of this turn; absent when unknown, never a guess.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// Tokens of the whole conversation so far, as codex counts them: from 0 again after
        /// the conversation overflowed the model. Absent when unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_usage: Option<Usage>,
        /// Present if `stop_reason` is [`StopReason::Error`] or [`StopReason::Aborted`], and only then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
}

/// Why a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// The model finished.
    EndTurn,
    /// The model wrote as much as it may; its answer is cut off.
    MaxTokens,
    /// The model, or the service, refused to answer.
    Refusal,
    /// The turn failed.
    Error,
    /// It was stopped.
    Aborted,
}

/// What a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolKind {
    /// Runs a command.
    Command,
    /// Changes files.
    FileChange,
    /// Calls a tool of an MCP server.
    McpCall,
    /// Searches the web.
    WebSearch,
    /// Hands work to another agent.
    Agent,
    /// Anything newer than this list.
    Other,
}

/// How a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolStatus {
    /// It did what it was asked.
    Completed,
    /// It did not.
    Failed,
    /// It was not allowed to run.
    Declined,
    /// Codex never said.
    Unknown,
}

/// What a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockKind {
    /// The answer.
    Text,
    /// The reasoning.
    Thinking,
}

/// How a block ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockOutcome {
    /// It is whole.
    Complete,
    /// Codex gave it up, perhaps to begin again under another index: take back what was shown of it.
    GivenUp,
}

/// How far a step of the plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepStatus {
    /// It has not begun.
    Pending,
    /// The model is at it.
    InProgress,
    /// It is done.
    Completed,
}

/// What a notice is about. In JSON its name is the member `kind`, and what it holds are members beside that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoticeKind {
    /// Codex warns; the turn goes on.
    Warning,
    /// The connection broke and is being made again.
    #[non_exhaustive]
    Reconnecting {
        /// Which attempt this is, counted from 1, where codex says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// How many attempts there will be at most, where codex says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
    },
    /// Another conversation took the place of the stored one.
    #[non_exhaustive]
    SessionReplaced {
        /// What was stored.
        old: String,
        /// The thread that took its place.
        new: String,
        /// Why.
        reason: ReplacementReason,
    },
    /// A part of the request is not honoured; the turn goes on without it.
    #[non_exhaustive]
    Unsupported {
        /// Which part.
        part: RequestPart,
    },
    /// A line of codex was too long and was left out.
    #[non_exhaustive]
    LineSkipped {
        /// How long it was.
        bytes: u64,
    },
    /// A line of codex could not be understood and was left out.
    LineMalformed,
    /// An event of a kind newer than the component; reported once per kind.
    #[non_exhaustive]
    UnknownEvent {
        /// Codex's name for it.
        event: String,
    },
}

/// Why another conversation took the place of the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReplacementReason {
    /// Codex no longer has the stored one.
    Lost,
    /// What was stored is not the id of a thread.
    NotAThreadId,
    /// Codex opened another one than it was asked for.
    OtherThread,
    /// The instructions changed, and the stored one cannot be given others.
    InstructionsChanged,
    /// The stored one belongs to another workspace or session, of which this one may be a copy.
    BelongsElsewhere,
}

/// A part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestPart {
    /// Its instructions, or its messages of role `system`.
    Instructions,
    /// Messages, or pieces of them.
    Messages,
    /// Images.
    Images,
    /// The effort.
    Effort,
    /// The output schema.
    OutputSchema,
    /// The session.
    Session,
}

/// What kind of failure ended a turn. Decide by this, never by text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// Codex is not on this machine, or cannot be run.
    NotInstalled,
    /// Not logged in, or the login was refused.
    Auth,
    /// The account or the provider does not offer this model.
    ModelUnsupported,
    /// The account's allowance is used up.
    UsageLimit,
    /// Too many requests for now.
    RateLimited,
    /// The service is at capacity.
    Overloaded,
    /// The conversation no longer fits the model.
    ContextOverflow,
    /// The service could not be reached, or the connection broke.
    Network,
    /// The request is malformed, or the service refused it.
    InvalidRequest,
    /// The stored conversation no longer exists.
    SessionLost,
    /// Another turn is using the conversation.
    SessionBusy,
    /// The conversation was archived.
    SessionArchived,
    /// The conversation's record is damaged or cannot be read or written.
    SessionUnreadable,
    /// Another machine has gone on with the conversation meanwhile.
    SessionMoved,
    /// The place where conversations are kept does not answer.
    StoreUnavailable,
    /// The conversation's record is larger than the place where conversations are kept accepts.
    SessionTooLarge,
    /// This machine has run out of something: memory, disk, processes, open files.
    Resources,
    /// The configuration of the host or of codex is wrong.
    Config,
    /// Codex does not trust the workspace.
    UntrustedDirectory,
    /// Codex does not understand the arguments: too old or too new.
    CliIncompatible,
    /// The prompt, or the instructions, are longer than codex takes.
    PromptTooLarge,
    /// No output within the start-up time.
    StartTimeout,
    /// No output for too long.
    IdleTimeout,
    /// The turn took longer than allowed.
    TurnTimeout,
    /// Codex was ended by a signal, or the turn was cancelled.
    Killed,
    /// Codex's output made no sense, or had no end.
    Protocol,
    /// The grant forbids what was asked for.
    Denied,
    /// A defect of the component or of this host.
    Internal,
}

/// One step of the model's plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlanStep {
    /// What is to be done.
    pub text: String,
    /// How far it is.
    pub status: StepStatus,
}

/// Tokens, counted by codex, under codex's names; what it does not count is absent. Begin with [`Usage::default`] and set the fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens read, the cached ones included.
    pub input_tokens: u64,
    /// Those of `input_tokens` that came from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Tokens written to a cache; codex 0.135 does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_input_tokens: Option<u64>,
    /// Tokens written, reasoning included.
    pub output_tokens: u64,
    /// Those of `output_tokens` that were reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_output_tokens: Option<u64>,
}

/// Why a turn did not complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// What a runtime decides by.
    pub kind: FailureKind,
    /// A sentence for a person: what happened, and what to do next.
    pub message: String,
    /// Whether it makes sense to try the same request again soon.
    pub retryable: bool,
    /// In how many milliseconds, where codex says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The original text, unshortened, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Failure {
    /// A failure that is not worth another try, without further details.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
            retryable: false,
            retry_after_ms: None,
            detail: None,
        }
    }
}

impl Event {
    /// The end of a turn that failed, for an embedder that has to end a turn itself. The tokens are unknown.
    #[must_use]
    pub fn end_with(stop_reason: StopReason, failure: Failure) -> Self {
        Event::MessageEnd {
            stop_reason,
            usage: None,
            thread_usage: None,
            failure: Some(failure),
        }
    }

    /// The end of a turn that the component could not end itself.
    pub(crate) fn failed(kind: FailureKind, stop_reason: StopReason, message: String) -> Self {
        Self::end_with(stop_reason, Failure::new(kind, message))
    }

    /// The same, of a turn that may well complete when it is tried again.
    pub(crate) fn failed_for_now(
        kind: FailureKind,
        stop_reason: StopReason,
        message: String,
    ) -> Self {
        let retryable = true;
        let failure = Failure::new(kind, message);
        Self::end_with(
            stop_reason,
            Failure {
                retryable,
                ..failure
            },
        )
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Event::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    /// An enum with a tag is buffered while it is read, and a buffer keeps numbers as floats. So the one event that holds
    /// JSON of any kind is read as a struct, from its text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Tag {
            r#type: Box<RawValue>,
        }

        #[derive(Deserialize)]
        struct ToolStart {
            id: String,
            kind: ToolKind,
            title: String,
            input: ToolInput,
        }

        let json = Box::<RawValue>::deserialize(deserializer)?;
        let read = || -> serde_json::Result<Event> {
            let tag: Tag = serde_json::from_str(json.get())?;
            if tag.r#type.get() != r#""tool_start""# {
                return Event::deserialize(&mut serde_json::Deserializer::from_str(json.get()));
            }
            let ToolStart {
                id,
                kind,
                title,
                input,
            } = serde_json::from_str(json.get())?;
            Ok(Event::ToolStart {
                id,
                kind,
                title,
                input,
            })
        };
        read().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_start_is_read_back_as_it_was_written() {
        let start = concat!(
            r#"{"type":"tool_start","id":"a","kind":"mcp_call","title":"t","#,
            r#""input":{"z":[1e400,18446744073709551616,1.10],"a":{"type":"x"},"z":null}}"#
        );
        let event: Event = serde_json::from_str(start).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), start);
    }

    #[test]
    fn other_events_are_read_back_and_unknown_ones_refused() {
        for written in [
            r#"{"type":"text_delta","index":0,"text":"hi"}"#,
            r#"{"type":"plan","steps":[{"text":"a","status":"in_progress"}]}"#,
            r#"{"type":"notice","kind":"warning","message":"m"}"#,
            r#"{"type":"notice","kind":"reconnecting","attempt":2,"attempts":5,"message":"m"}"#,
            r#"{"type":"notice","kind":"line_skipped","bytes":18446744073709551615,"message":"m"}"#,
            r#"{"type":"message_end","stop_reason":"error","failure":{"kind":"auth","message":"m","retryable":false}}"#,
        ] {
            let event: Event = serde_json::from_str(written).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), written);
            let value: serde_json::Value = serde_json::from_str(written).unwrap();
            assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event);
        }
        let error = serde_json::from_str::<Event>(r#"{"type":"x"}"#).unwrap_err();
        assert!(error.to_string().contains("unknown variant `x`"), "{error}");
        let error = serde_json::from_str::<Event>(r#"{"index":0}"#).unwrap_err();
        assert!(
            error.to_string().contains("missing field `type`"),
            "{error}"
        );
    }
}
