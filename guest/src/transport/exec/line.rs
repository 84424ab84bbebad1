//! One line of `codex exec --json`, read as far as it concerns a turn.
//!
//! The shapes are those that codex 0.135 to 0.169 print; anything newer is [`Said::Unknown`], never an error.

use alloc::borrow::ToOwned;
use alloc::format;

use super::item;
use crate::bindings::turns::Usage;
use crate::json::Json;
use crate::transport::retry::retry;
use crate::transport::text::reason;
use crate::transport::{Malformed, Phase, Said};

/// What stands before the event in a line that is none by itself, and the event: a terminal's title, a byte order mark,
/// the last words of a script that started codex. Nothing if there is no event.
pub fn event_behind(line: &str) -> Option<(&str, &str)> {
    /// How many beginnings of objects are tried: what is glued on is short.
    const TRIES: usize = 8;
    let begins = line.match_indices("{\"").map(|(at, _)| at);
    let halves = begins.filter_map(|at| line.split_at_checked(at));
    let mut halves = halves.filter(|(glued, _)| !glued.is_empty()).take(TRIES);
    halves.find(|(_, event)| read(event).is_ok())
}

/// Reads one line, without its line feed.
pub fn read(line: &str) -> Result<Said<'_>, Malformed> {
    let document = Json::parse(line).map_err(|error| Malformed {
        reason: format!("{error}"),
    })?;
    let Some(kind) = document.text("type") else {
        return Err(Malformed {
            reason: "no `type`".into(),
        });
    };
    Ok(match kind {
        "thread.started" => Said::Opened {
            thread_id: document
                .text("thread_id")
                .ok_or_else(|| Malformed {
                    reason: "thread.started without `thread_id`".into(),
                })?
                .to_owned(),
        },
        "turn.started" => Said::Began,
        "turn.completed" => Said::Completed {
            totals: document.get("usage").and_then(totals),
        },
        "turn.failed" => Said::Failed {
            message: document.get("error").map(reason).unwrap_or_default(),
            kind: None,
        },
        "error" => {
            let message = document.text("message").unwrap_or_default();
            Said::Error {
                message: message.to_owned(),
                retry: retry(message),
            }
        }
        "item.started" => item(Phase::Started, document)?,
        "item.updated" => item(Phase::Updated, document)?,
        "item.completed" => item(Phase::Completed, document)?,
        other => Said::Unknown {
            kind: other.to_owned(),
        },
    })
}

fn item(phase: Phase, document: Json<'_>) -> Result<Said<'_>, Malformed> {
    if let Json::Object(members) = document {
        for (key, value) in members {
            if key == "item" && matches!(value, Json::Object(_)) {
                return Ok(item::read(phase, value));
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
        cached_input_tokens: usage.count("cached_input_tokens"),
        cache_write_input_tokens: usage.count("cache_write_input_tokens"),
        output_tokens: usage.count("output_tokens")?,
        reasoning_output_tokens: usage.count("reasoning_output_tokens"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_without_its_counts_is_unknown_not_zero() {
        let parse = |usage: &str| {
            let line = format!(r#"{{"type":"turn.completed","usage":{usage}}}"#);
            match read(&line).unwrap() {
                Said::Completed { totals } => totals,
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
    fn what_is_not_an_event_is_malformed_with_the_reason() {
        for (line, reason) in [
            ("", "EOF"),
            ("codex: starting", "expected"),
            ("{\"type\":\"turn.comp", "EOF"),
            ("[]", "`type`"),
            ("{\"type\":7}", "`type`"),
            (r#"{"type":"thread.started"}"#, "thread_id"),
            (r#"{"type":"item.completed","item":"x"}"#, "item"),
        ] {
            let malformed = read(line).unwrap_err();
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
            read("{\"type\":\"turn.paused\"}\r"),
            Ok(Said::Unknown {
                kind: "turn.paused".into()
            })
        );
    }

    #[test]
    fn a_failure_is_told_in_whatever_shape_it_comes() {
        for (error, message) in [
            (r#"{"message":"no"}"#, "no"),
            (r#""no""#, "no"),
            ("null", ""),
            (r#"{"code":7}"#, r#"{"code":7}"#),
            (r#"["no"]"#, r#"["no"]"#),
        ] {
            let line = format!(r#"{{"type":"turn.failed","error":{error}}}"#);
            let message = message.to_owned();
            let kind = None;
            assert_eq!(read(&line), Ok(Said::Failed { message, kind }), "{error}");
        }
    }

    #[test]
    fn an_event_is_found_behind_what_is_glued_to_it() {
        let event = r#"{"type":"turn.started"}"#;
        for glued in [
            "\u{1b}]0;codex\u{7}",
            "\u{feff}",
            "\0",
            "Now using node v22",
            "{",
        ] {
            let line = format!("{glued}{event}");
            assert_eq!(event_behind(&line), Some((glued, event)), "{glued:?}");
        }
        for line in [event, "no event", r#"x{"type":7}"#] {
            assert_eq!(event_behind(line), None, "{line}");
        }
    }
}
