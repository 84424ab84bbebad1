//! What the component hands over, as the plain data of `contract/`.

use crate::capability::bindings::provider as wit;
use crate::contract::event::{
    Event, Failure, FailureKind, NoticeKind, PlanStep, StopReason, ToolKind, ToolStatus, Usage,
};
use crate::contract::tool_input::ToolInput;

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
                // The contract says JSON; if a component breaks it, its text is shown.
                input: input
                    .parse()
                    .unwrap_or_else(|_| ToolInput::from_text(&input)),
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

/// Converts an enum from its generated twin. A case that only one of them has does not compile.
macro_rules! same_enum {
    ($name:ident { $($variant:ident),* $(,)? }) => {
        impl From<wit::$name> for $name {
            fn from(value: wit::$name) -> Self {
                match value { $(wit::$name::$variant => $name::$variant,)* }
            }
        }
    };
}

same_enum!(StopReason {
    EndTurn,
    Error,
    Aborted
});
same_enum!(ToolKind {
    Command,
    FileChange,
    McpCall,
    WebSearch,
    Agent,
    Other
});
same_enum!(ToolStatus {
    Completed,
    Failed,
    Declined,
    Unknown
});
same_enum!(NoticeKind {
    Warning,
    Reconnecting,
    SessionReplaced,
    ModelChanged,
    LineSkipped,
    LineMalformed,
    UnknownEvent
});
same_enum!(FailureKind {
    NotInstalled,
    Auth,
    ModelUnsupported,
    UsageLimit,
    RateLimited,
    Overloaded,
    ContextOverflow,
    Network,
    InvalidRequest,
    SessionLost,
    SessionBusy,
    SessionArchived,
    SessionUnreadable,
    Config,
    UntrustedDirectory,
    CliIncompatible,
    PromptTooLarge,
    StartTimeout,
    IdleTimeout,
    TurnTimeout,
    Killed,
    Protocol,
    Denied,
    Internal
});
