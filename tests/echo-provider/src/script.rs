//! What is said in a turn. The prompt chooses:
//!
//! | prompt | turn |
//! | --- | --- |
//! | `everything` | every kind of event, and of notice |
//! | `max-tokens`, `refusal`, `failure` | ends like that |
//! | `endless` | goes on until it is cancelled |
//! | anything else | an echo |

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::bindings::turns::{
    BlockEnd, BlockKind, BlockOutcome, Delta, Event, Failure, FailureKind, MessageEnd,
    MessageStart, ModelChange, Notice, NoticeKind, PlanStep, Reconnection, Replacement,
    ReplacementReason, RequestPart, StepStatus, StopReason, ToolEnd, ToolKind, ToolStart,
    ToolStatus, ToolUpdate, Usage, UsageUpdate,
};
use crate::request::Asked;

/// The events of a turn.
pub struct Script {
    pub events: Vec<Event>,
    /// Whether text follows them for ever.
    pub endless: bool,
}

/// What is said to this request.
pub fn play(asked: &Asked) -> Script {
    let mut events = vec![Event::MessageStart(MessageStart {
        thread_id: "echo-1".to_owned(),
        resumed: false,
        model: Some(asked.model.clone()),
    })];
    for part in &asked.unsupported {
        let message = "An echo has no use for this part of the request; it was left out.";
        events.push(notice(NoticeKind::Unsupported(*part), message));
    }
    match asked.prompt.as_str() {
        "everything" => events.extend(everything()),
        "max-tokens" => {
            events.push(text(0, "an answer that is cut o"));
            events.push(end(StopReason::MaxTokens, None));
        }
        "refusal" => events.push(end(StopReason::Refusal, None)),
        "failure" => events.push(end(StopReason::Error, Some(rate_limited()))),
        "endless" => {
            return Script {
                events,
                endless: true,
            };
        }
        _ => events.extend(echo(asked)),
    }
    Script {
        events,
        endless: false,
    }
}

/// The end of a turn that was cancelled.
pub fn cancelled() -> Event {
    let failure = Failure {
        kind: FailureKind::Killed,
        message: "The echo was cancelled.".to_owned(),
        retryable: true,
        retry_after_ms: None,
        detail: None,
    };
    end(StopReason::Aborted, Some(failure))
}

/// Text of the answer.
pub fn text(index: u32, text: &str) -> Event {
    Event::TextDelta(Delta {
        index,
        text: text.to_owned(),
    })
}

/// The prompt, word by word.
fn echo(asked: &Asked) -> Vec<Event> {
    let said = vec![asked.prompt.as_str(); asked.times].join(" ");
    let answer = format!("{}: {said}", asked.speaker);
    let words = answer.split_inclusive(' ');
    let mut events: Vec<Event> = words.map(|word| text(0, word)).collect();
    events.push(block_end(BlockKind::Text, 0, BlockOutcome::Complete));
    let read = words_of(&asked.prompt);
    let usage = tokens(read, words_of(&answer));
    events.push(Event::Usage(UsageUpdate {
        usage: Some(usage),
        thread_usage: None,
        context_tokens: Some(read),
        context_window: Some(4096),
    }));
    events.push(Event::MessageEnd(MessageEnd {
        stop_reason: StopReason::EndTurn,
        usage: Some(usage),
        thread_usage: None,
        failure: None,
    }));
    events
}

/// Every kind of event but the start, with values that are easily changed on the way to JSON.
fn everything() -> Vec<Event> {
    let mut events = vec![
        Event::ModelChange(ModelChange {
            previous: None,
            model: "echo-small".to_owned(),
            reason: "The echo is far away.".to_owned(),
        }),
        Event::ModelChange(ModelChange {
            previous: Some("echo-small".to_owned()),
            model: "echo".to_owned(),
            reason: "not-a-thread-id".to_owned(),
        }),
        Event::ThinkingDelta(Delta {
            index: 0,
            text: "hm \u{1}\u{7f}\u{2028}\"\\ \u{1f980}".to_owned(),
        }),
        block_end(BlockKind::Thinking, 0, BlockOutcome::Complete),
        text(0, "half an ans"),
        block_end(BlockKind::Text, 0, BlockOutcome::GivenUp),
        text(1, "a whole answer"),
        block_end(BlockKind::Text, 1, BlockOutcome::Complete),
        plan(),
    ];
    for (number, (kind, status)) in tools().into_iter().enumerate() {
        events.extend(tool(number, kind, status));
    }
    let kinds = notices().into_iter();
    events.extend(kinds.map(|kind| notice(kind, "in a sentence")));
    events.push(Event::Usage(UsageUpdate {
        usage: None,
        thread_usage: None,
        context_tokens: None,
        context_window: None,
    }));
    let most = Usage {
        input_tokens: u64::MAX,
        cached_input_tokens: Some(u64::MAX),
        cache_write_input_tokens: Some(0),
        output_tokens: 1,
        reasoning_output_tokens: Some(1),
    };
    events.push(Event::Usage(UsageUpdate {
        usage: Some(tokens(1, 2)),
        thread_usage: Some(most),
        context_tokens: Some(0),
        context_window: Some(u64::MAX),
    }));
    events.push(Event::MessageEnd(MessageEnd {
        stop_reason: StopReason::EndTurn,
        usage: Some(tokens(1, 2)),
        thread_usage: Some(most),
        failure: None,
    }));
    events
}

fn plan() -> Event {
    let step = |text: &str, status| PlanStep {
        text: text.to_owned(),
        status,
    };
    Event::Plan(vec![
        step("listen", StepStatus::Completed),
        step("in-progress", StepStatus::InProgress),
        step("fall silent", StepStatus::Pending),
    ])
}

fn tools() -> [(ToolKind, ToolStatus); 6] {
    [
        (ToolKind::Command, ToolStatus::Completed),
        (ToolKind::FileChange, ToolStatus::Failed),
        (ToolKind::McpCall, ToolStatus::Declined),
        (ToolKind::WebSearch, ToolStatus::Unknown),
        (ToolKind::Agent, ToolStatus::Completed),
        (ToolKind::Other, ToolStatus::Completed),
    ]
}

fn tool(number: usize, kind: ToolKind, status: ToolStatus) -> [Event; 3] {
    let id = format!("tool-{number}");
    [
        Event::ToolStart(ToolStart {
            id: id.clone(),
            kind,
            title: "a tool".to_owned(),
            input: "{\"b\":1.0,\"a\":12345678901234567890}".to_owned(),
        }),
        Event::ToolUpdate(ToolUpdate {
            id: id.clone(),
            output_delta: "end-turn\n".to_owned(),
        }),
        Event::ToolEnd(ToolEnd {
            id,
            status,
            output: (status != ToolStatus::Unknown).then(|| "end-turn\n".to_owned()),
            exit_code: (kind == ToolKind::Command).then_some(-1),
        }),
    ]
}

fn notices() -> Vec<NoticeKind> {
    let reconnecting =
        |attempt, attempts| NoticeKind::Reconnecting(Reconnection { attempt, attempts });
    let replaced = |reason| {
        NoticeKind::SessionReplaced(Replacement {
            old: "old-one".to_owned(),
            new: "echo-1".to_owned(),
            reason,
        })
    };
    let mut kinds = vec![
        NoticeKind::Warning,
        reconnecting(None, None),
        reconnecting(Some(2), Some(5)),
        NoticeKind::LineSkipped(u64::MAX),
        NoticeKind::LineMalformed,
        NoticeKind::UnknownEvent("thread-renamed".to_owned()),
    ];
    let reasons = [
        ReplacementReason::Lost,
        ReplacementReason::NotAThreadId,
        ReplacementReason::OtherThread,
        ReplacementReason::InstructionsChanged,
        ReplacementReason::BelongsElsewhere,
    ];
    kinds.extend(reasons.map(replaced));
    let parts = [
        RequestPart::Instructions,
        RequestPart::Messages,
        RequestPart::Images,
        RequestPart::Effort,
        RequestPart::OutputSchema,
        RequestPart::Session,
    ];
    kinds.extend(parts.map(NoticeKind::Unsupported));
    kinds
}

fn notice(kind: NoticeKind, message: &str) -> Event {
    Event::Notice(Notice {
        kind,
        message: message.to_owned(),
    })
}

fn block_end(kind: BlockKind, index: u32, outcome: BlockOutcome) -> Event {
    Event::BlockEnd(BlockEnd {
        kind,
        index,
        outcome,
    })
}

fn rate_limited() -> Failure {
    Failure {
        kind: FailureKind::RateLimited,
        message: "Too many echoes at once. Try again in a moment.".to_owned(),
        retryable: true,
        retry_after_ms: Some(1500),
        detail: Some("rate-limited".to_owned()),
    }
}

fn end(stop_reason: StopReason, failure: Option<Failure>) -> Event {
    Event::MessageEnd(MessageEnd {
        stop_reason,
        usage: None,
        thread_usage: None,
        failure,
    })
}

/// A word is a token here.
fn words_of(text: &str) -> u64 {
    u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX)
}

fn tokens(input: u64, output: u64) -> Usage {
    Usage {
        input_tokens: input,
        cached_input_tokens: None,
        cache_write_input_tokens: None,
        output_tokens: output,
        reasoning_output_tokens: None,
    }
}
