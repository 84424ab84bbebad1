//! What the component hands over, as the plain data of `contract/`.

use crate::capability::bindings::turns as wit;
use crate::contract::description::{Capability, Description, Model};
use crate::contract::event::{
    BlockKind, BlockOutcome, Event, Failure, FailureKind, NoticeKind, PlanStep, ReplacementReason,
    RequestPart, StepStatus, StopReason, ToolKind, ToolStatus, Usage,
};
use crate::contract::tool_input::ToolInput;

impl From<wit::Description> for Description {
    fn from(description: wit::Description) -> Self {
        let wit::Description {
            id,
            version,
            models,
            capabilities,
        } = description;
        Description {
            id,
            version,
            models: models.into_iter().map(Into::into).collect(),
            capabilities: CAPABILITIES
                .into_iter()
                .filter(|(flag, _)| capabilities.contains(*flag))
                .map(|(_, capability)| capability)
                .collect(),
        }
    }
}

const CAPABILITIES: [(wit::Capabilities, Capability); 7] = [
    (
        wit::Capabilities::STREAMING_DELTAS,
        Capability::StreamingDeltas,
    ),
    (wit::Capabilities::TOOL_UPDATES, Capability::ToolUpdates),
    (wit::Capabilities::IMAGES, Capability::Images),
    (wit::Capabilities::RESUMABLE, Capability::Resumable),
    (wit::Capabilities::INSTRUCTIONS, Capability::Instructions),
    (
        wit::Capabilities::STRUCTURED_OUTPUT,
        Capability::StructuredOutput,
    ),
    (wit::Capabilities::EFFORT, Capability::Effort),
];

impl From<wit::Model> for Model {
    fn from(model: wit::Model) -> Self {
        let wit::Model {
            id,
            display_name,
            context_window,
            inputs,
            efforts,
        } = model;
        Model {
            id,
            display_name,
            context_window,
            images: inputs.contains(wit::InputKinds::IMAGE),
            efforts,
        }
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        match event {
            wit::Event::MessageStart(wit::MessageStart {
                thread_id,
                resumed,
                model,
            }) => Event::MessageStart {
                thread_id,
                resumed,
                model,
            },
            wit::Event::ModelChange(wit::ModelChange {
                previous,
                model,
                reason,
            }) => Event::ModelChange {
                previous,
                model,
                reason,
            },
            wit::Event::TextDelta(wit::Delta { index, text }) => Event::TextDelta { index, text },
            wit::Event::ThinkingDelta(wit::Delta { index, text }) => {
                Event::ThinkingDelta { index, text }
            }
            wit::Event::BlockEnd(wit::BlockEnd {
                kind,
                index,
                outcome,
            }) => Event::BlockEnd {
                kind: kind.into(),
                index,
                outcome: outcome.into(),
            },
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
            wit::Event::ToolUpdate(wit::ToolUpdate { id, output_delta }) => {
                Event::ToolUpdate { id, output_delta }
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
                    .map(|wit::PlanStep { text, status }| PlanStep {
                        text,
                        status: status.into(),
                    })
                    .collect(),
            },
            wit::Event::Usage(wit::UsageUpdate {
                usage,
                thread_usage,
                context_tokens,
                context_window,
            }) => Event::Usage {
                usage: usage.map(Into::into),
                thread_usage: thread_usage.map(Into::into),
                context_tokens,
                context_window,
            },
            wit::Event::Notice(wit::Notice { kind, message }) => Event::Notice {
                kind: kind.into(),
                message,
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
            retry_after_ms: failure.retry_after_ms,
            detail: failure.detail,
        }
    }
}

impl From<wit::NoticeKind> for NoticeKind {
    fn from(kind: wit::NoticeKind) -> Self {
        match kind {
            wit::NoticeKind::Warning => NoticeKind::Warning,
            wit::NoticeKind::Reconnecting(wit::Reconnection { attempt, attempts }) => {
                NoticeKind::Reconnecting { attempt, attempts }
            }
            wit::NoticeKind::SessionReplaced(wit::Replacement { old, new, reason }) => {
                NoticeKind::SessionReplaced {
                    old,
                    new,
                    reason: reason.into(),
                }
            }
            wit::NoticeKind::Unsupported(part) => NoticeKind::Unsupported { part: part.into() },
            wit::NoticeKind::LineSkipped(bytes) => NoticeKind::LineSkipped { bytes },
            wit::NoticeKind::LineMalformed => NoticeKind::LineMalformed,
            wit::NoticeKind::UnknownEvent(event) => NoticeKind::UnknownEvent { event },
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
    MaxTokens,
    Refusal,
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
same_enum!(BlockKind { Text, Thinking });
same_enum!(BlockOutcome { Complete, GivenUp });
same_enum!(StepStatus {
    Pending,
    InProgress,
    Completed
});
same_enum!(ReplacementReason {
    Lost,
    NotAThreadId,
    OtherThread,
    InstructionsChanged,
    BelongsElsewhere
});
same_enum!(RequestPart {
    Instructions,
    Messages,
    Images,
    Effort,
    OutputSchema,
    Session
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
    SessionMoved,
    StoreUnavailable,
    SessionTooLarge,
    Resources,
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
