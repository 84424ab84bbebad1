//! One line of codex's output, read as far as it concerns a turn.
//!
//! The shapes are those that codex 0.135 to 0.169 print with `--json`; anything newer is
//! [`CodexEvent::Unknown`], never an error.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::bindings::provider::Usage;
use crate::json::Json;

/// What a line says.
#[derive(Debug, PartialEq)]
pub enum CodexEvent<'a> {
    /// The conversation is open; resumed ones say it again with the same id.
    ThreadStarted { thread_id: String },
    /// The model is at work.
    TurnStarted,
    /// The turn is over and well. `totals` are the thread's running ones, not the turn's.
    TurnCompleted { totals: Option<Usage> },
    /// The turn is over and failed.
    TurnFailed { message: String },
    /// Something went wrong; only `TurnFailed` says that it was the end.
    Error { message: String },
    /// An item of the conversation.
    Item { phase: Phase, item: Json<'a> },
    /// A kind that this component does not know.
    Unknown { kind: String },
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    Started,
    Updated,
    Completed,
}

/// A line that is not an event at all.
#[derive(Debug, PartialEq)]
pub struct Malformed {
    /// Why not.
    pub reason: String,
}

impl<'a> CodexEvent<'a> {
    /// Reads one line, without its line feed.
    pub fn parse(line: &'a str) -> Result<Self, Malformed> {
        let document = Json::parse(line).map_err(|error| Malformed {
            reason: alloc::format!("{error}"),
        })?;
        let Some(kind) = document.text("type") else {
            return Err(Malformed {
                reason: "no `type`".into(),
            });
        };
        Ok(match kind {
            "thread.started" => CodexEvent::ThreadStarted {
                thread_id: document
                    .text("thread_id")
                    .ok_or_else(|| Malformed {
                        reason: "thread.started without `thread_id`".into(),
                    })?
                    .to_owned(),
            },
            "turn.started" => CodexEvent::TurnStarted,
            "turn.completed" => CodexEvent::TurnCompleted {
                totals: document.get("usage").and_then(totals),
            },
            "turn.failed" => CodexEvent::TurnFailed {
                message: document
                    .get("error")
                    .and_then(|error| error.text("message"))
                    .unwrap_or_default()
                    .to_owned(),
            },
            "error" => CodexEvent::Error {
                message: document.text("message").unwrap_or_default().to_owned(),
            },
            "item.started" => item(Phase::Started, document)?,
            "item.updated" => item(Phase::Updated, document)?,
            "item.completed" => item(Phase::Completed, document)?,
            other => CodexEvent::Unknown {
                kind: other.to_owned(),
            },
        })
    }
}

fn item<'a>(phase: Phase, document: Json<'a>) -> Result<CodexEvent<'a>, Malformed> {
    if let Json::Object(members) = document {
        for (key, value) in members {
            if key == "item" && matches!(value, Json::Object(_)) {
                return Ok(CodexEvent::Item { phase, item: value });
            }
        }
    }
    Err(Malformed {
        reason: "an item event without `item`".into(),
    })
}

/// The thread's totals; nothing unless both ends of the count are there, because a missing
/// number is not zero.
fn totals(usage: &Json<'_>) -> Option<Usage> {
    Some(Usage {
        input_tokens: usage.count("input_tokens")?,
        cached_input_tokens: usage.count("cached_input_tokens").unwrap_or(0),
        cache_write_input_tokens: usage.count("cache_write_input_tokens"),
        output_tokens: usage.count("output_tokens")?,
        reasoning_output_tokens: usage.count("reasoning_output_tokens").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_without_its_counts_is_unknown_not_zero() {
        let parse = |usage: &str| {
            let line = alloc::format!(r#"{{"type":"turn.completed","usage":{usage}}}"#);
            match CodexEvent::parse(&line).unwrap() {
                CodexEvent::TurnCompleted { totals } => totals,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(parse("null"), None);
        assert_eq!(parse(r#"{"input_tokens":3}"#), None);
        assert_eq!(parse(r#"{"input_tokens":-3,"output_tokens":1}"#), None);
        let totals = parse(r#"{"input_tokens":3000000000,"output_tokens":1}"#).unwrap();
        assert_eq!(
            (totals.input_tokens, totals.cache_write_input_tokens),
            (3_000_000_000, None)
        );
    }

    #[test]
    fn what_is_no_event_is_malformed_with_the_reason() {
        for (line, reason) in [
            ("", "EOF"),
            ("codex: starting", "expected"),
            ("{\"type\":\"turn.comp", "EOF"),
            ("[]", "`type`"),
            ("{\"type\":7}", "`type`"),
            (r#"{"type":"thread.started"}"#, "thread_id"),
            (r#"{"type":"item.completed","item":"x"}"#, "item"),
        ] {
            let malformed = CodexEvent::parse(line).unwrap_err();
            assert!(
                malformed.reason.contains(reason),
                "{line}: {}",
                malformed.reason
            );
        }
    }

    #[test]
    fn newer_kinds_are_unknown_and_carriage_returns_are_white_space() {
        assert_eq!(
            CodexEvent::parse("{\"type\":\"turn.paused\"}\r"),
            Ok(CodexEvent::Unknown {
                kind: "turn.paused".into()
            })
        );
    }
}
