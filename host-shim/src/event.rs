//! The canonical events: what happens in a turn, in the form that runtimes see.
//!
//! In JSON each is one object with a `type` in snake_case; members that do not apply
//! are left out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::provider as wit;

/// Something that happened in a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The conversation is open. The first event of a turn, absent only when the turn failed
    /// before that.
    MessageStart {
        /// The model that was asked for.
        model: String,
        /// The conversation, as codex names it: a UUID.
        thread_id: String,
        /// Whether the model remembers earlier turns of it.
        resumed: bool,
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
    /// A tool began. Tools run inside codex: show them, never run them.
    ToolStart {
        /// Pairs this with its later events; unique within the turn.
        id: String,
        /// What it does.
        kind: ToolKind,
        /// One line for a person.
        title: String,
        /// What it was called with.
        input: Value,
    },
    /// A running tool has news.
    ToolUpdate {
        /// That of its `ToolStart`.
        id: String,
        /// Its output so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
    },
    /// A tool ended.
    ToolEnd {
        /// That of its `ToolStart`.
        id: String,
        /// How.
        status: ToolStatus,
        /// What it produced, where codex shows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        /// The exit code of a command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
    /// The model's plan, whole, each time it changes.
    Plan {
        /// Its steps, in order.
        steps: Vec<PlanStep>,
    },
    /// Something worth knowing that does not end the turn.
    Notice {
        /// What it is about.
        kind: NoticeKind,
        /// A sentence for a person.
        message: String,
        /// With [`NoticeKind::SessionReplaced`]: what was stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<String>,
        /// With [`NoticeKind::SessionReplaced`]: the thread that took its place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new: Option<String>,
        /// With [`NoticeKind::SessionReplaced`]: why, in one word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The end. Every turn has exactly one, and nothing follows it.
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
        /// Present unless the turn completed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
}

/// Defines an enum in the form that JSON shows, and its way from the generated one.
macro_rules! mirrored_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl From<wit::$name> for $name {
            fn from(value: wit::$name) -> Self {
                match value { $(wit::$name::$variant => $name::$variant,)* }
            }
        }
    };
}

mirrored_enum! {
    /// Why a turn ended.
    StopReason {
        /// The model finished.
        EndTurn,
        /// The turn failed.
        Error,
        /// Somebody stopped it.
        Aborted,
    }
}

mirrored_enum! {
    /// What a tool does.
    ToolKind {
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
}

mirrored_enum! {
    /// How a tool ended.
    ToolStatus {
        /// It did what it was asked.
        Completed,
        /// It did not.
        Failed,
        /// It was not allowed to run.
        Declined,
        /// Codex never said.
        Unknown,
    }
}

mirrored_enum! {
    /// What a notice is about.
    NoticeKind {
        /// Codex warns; the turn goes on.
        Warning,
        /// The connection broke and is being made again.
        Reconnecting,
        /// Another conversation took the place of the stored one.
        SessionReplaced,
        /// Another model answers than the one that answered before.
        ModelChanged,
        /// A line of codex was too long and was left out.
        LineSkipped,
        /// A line of codex could not be understood and was left out.
        LineMalformed,
        /// An event of a kind newer than the component; told once a kind.
        UnknownEvent,
    }
}

mirrored_enum! {
    /// What kind of failure ended a turn. Decide by this, never by text.
    FailureKind {
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
        /// The service refused the request.
        InvalidRequest,
        /// The stored conversation no longer exists.
        SessionLost,
        /// Another turn is using the conversation.
        SessionBusy,
        /// The conversation was archived.
        SessionArchived,
        /// The conversation's record is damaged or cannot be read or written.
        SessionUnreadable,
        /// The configuration of the host or of codex is wrong.
        Config,
        /// Codex does not trust the workspace.
        UntrustedDirectory,
        /// Codex does not understand the arguments: too old or too new.
        CliIncompatible,
        /// The prompt is longer than codex takes.
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
}

/// One step of the model's plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// What is to be done.
    pub text: String,
    /// Whether it is done.
    pub completed: bool,
}

/// Tokens, counted by codex, under codex's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read, the cached ones included.
    pub input_tokens: u64,
    /// Those of `input_tokens` that came from a cache.
    pub cached_input_tokens: u64,
    /// Tokens written to a cache; codex 0.135 does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_input_tokens: Option<u64>,
    /// Tokens written, reasoning included.
    pub output_tokens: u64,
    /// Those of `output_tokens` that were reasoning.
    pub reasoning_output_tokens: u64,
}

/// Why a turn did not complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What a runtime decides by.
    pub kind: FailureKind,
    /// A sentence for a person: what happened, and what to do next.
    pub message: String,
    /// Whether it makes sense to try the same request again soon.
    pub retryable: bool,
    /// In how many seconds, where codex says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The original text, unshortened, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Event {
    /// The end of a turn that the component could not end itself.
    pub(crate) fn failed(kind: FailureKind, stop_reason: StopReason, message: String) -> Self {
        Self::end_with(kind, stop_reason, message, false)
    }

    /// The same, of a turn that may well complete when it is tried again.
    pub(crate) fn failed_for_now(
        kind: FailureKind,
        stop_reason: StopReason,
        message: String,
    ) -> Self {
        Self::end_with(kind, stop_reason, message, true)
    }

    fn end_with(
        kind: FailureKind,
        stop_reason: StopReason,
        message: String,
        retryable: bool,
    ) -> Self {
        Event::MessageEnd {
            stop_reason,
            usage: None,
            thread_usage: None,
            failure: Some(Failure {
                kind,
                message,
                retryable,
                retry_after: None,
                detail: None,
            }),
        }
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        match event {
            wit::Event::MessageStart(wit::MessageStart {
                model,
                thread_id,
                resumed,
            }) => Event::MessageStart {
                model,
                thread_id,
                resumed,
            },
            wit::Event::TextDelta(wit::Delta { index, text }) => Event::TextDelta { index, text },
            wit::Event::ThinkingDelta(wit::Delta { index, text }) => {
                Event::ThinkingDelta { index, text }
            }
            wit::Event::ToolStart(wit::ToolStart {
                id,
                kind,
                title,
                input,
            }) => Event::ToolStart {
                id,
                kind: kind.into(),
                title,
                // The contract says JSON; a component that breaks it is shown as it spoke.
                input: serde_json::from_str(&input).unwrap_or(Value::String(input)),
            },
            wit::Event::ToolUpdate(wit::ToolUpdate { id, output }) => {
                Event::ToolUpdate { id, output }
            }
            wit::Event::ToolEnd(wit::ToolEnd {
                id,
                status,
                output,
                exit_code,
            }) => Event::ToolEnd {
                id,
                status: status.into(),
                output,
                exit_code,
            },
            wit::Event::Plan(steps) => Event::Plan {
                steps: steps
                    .into_iter()
                    .map(|wit::PlanStep { text, completed }| PlanStep { text, completed })
                    .collect(),
            },
            wit::Event::Notice(wit::Notice {
                kind,
                message,
                old,
                new,
                reason,
            }) => Event::Notice {
                kind: kind.into(),
                message,
                old,
                new,
                reason,
            },
            wit::Event::MessageEnd(wit::MessageEnd {
                stop_reason,
                usage,
                thread_usage,
                failure,
            }) => Event::MessageEnd {
                stop_reason: stop_reason.into(),
                usage: usage.map(Into::into),
                thread_usage: thread_usage.map(Into::into),
                failure: failure.map(Into::into),
            },
        }
    }
}

impl From<wit::Usage> for Usage {
    fn from(usage: wit::Usage) -> Self {
        Usage {
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            cache_write_input_tokens: usage.cache_write_input_tokens,
            output_tokens: usage.output_tokens,
            reasoning_output_tokens: usage.reasoning_output_tokens,
        }
    }
}

impl From<wit::Failure> for Failure {
    fn from(failure: wit::Failure) -> Self {
        Failure {
            kind: failure.kind.into(),
            message: failure.message,
            retryable: failure.retryable,
            retry_after: failure.retry_after,
            detail: failure.detail,
        }
    }
}
