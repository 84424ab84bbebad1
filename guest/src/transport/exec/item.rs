//! The items of `codex exec --json`, in neutral terms.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::vec::Vec;

use super::tool::{ToolItem, tool_kind};
use crate::bindings::turns::{PlanStep, StepStatus};
use crate::json::Json;
use crate::transport::{Item, Phase, Said};

/// Reads one item, an object.
pub fn read(phase: Phase, mut item: Json<'_>) -> Said<'_, ToolItem<'_>> {
    let name = item
        .take_text("type")
        .unwrap_or(Cow::Borrowed("without type"));
    let item = match &*name {
        "agent_message" => Item::Message {
            text: text(&mut item),
        },
        "reasoning" => Item::Reasoning {
            text: text(&mut item),
        },
        "todo_list" => Item::Plan {
            steps: plan_steps(&item),
        },
        // Despite its name a warning, which may come before the turn begins.
        "error" => return warning(&mut item),
        other => match tool_kind(other) {
            Some(kind) => Item::Tool(ToolItem::new(kind, name, item)),
            None => Item::Unknown {
                kind: name.into_owned(),
            },
        },
    };
    Said::Item { phase, item }
}

/// What the model said, in whatever shape: a text, a list of parts with texts, or else as it is written.
fn text<'a>(item: &mut Json<'a>) -> Cow<'a, str> {
    if let Some(text) = item.take_text("text") {
        return text;
    }
    let parts = item.array("text");
    let texts: Option<Vec<&str>> = parts
        .iter()
        .map(|part| part.as_text().or_else(|| part.text("text")))
        .collect();
    match texts {
        Some(texts) if !texts.is_empty() => Cow::Owned(texts.concat()),
        _ => item.get("text").map(written).unwrap_or_default().into(),
    }
}

/// A value as JSON.
pub(super) fn written(value: &Json<'_>) -> String {
    // Cannot fail: the keys are strings and the writer is memory.
    serde_json::to_string(value).unwrap_or_default()
}

fn warning<'a, T>(item: &mut Json<'a>) -> Said<'a, T> {
    let message = item
        .take_text("message")
        .unwrap_or(Cow::Borrowed("codex gave a warning without text"));
    match other_model(&message) {
        Some((previous, model)) => Said::ModelChanged {
            previous: Some(previous),
            model,
            message,
        },
        None => Said::Warning { message },
    }
}

/// The names in "This session was recorded with model `a` but is resuming with `b`.", which is all that codex says of
/// models.
fn other_model(message: &str) -> Option<(String, String)> {
    let rest = message.strip_prefix("This session was recorded with model `")?;
    let (previous, rest) = rest.split_once('`')?;
    let rest = rest.strip_prefix(" but is resuming with `")?;
    let (model, _) = rest.split_once('`')?;
    Some((previous.to_owned(), model.to_owned()))
}

fn plan_steps(item: &Json<'_>) -> Vec<PlanStep> {
    item.array("items")
        .iter()
        .map(|step| PlanStep {
            text: step.text("text").unwrap_or_default().to_owned(),
            // Codex does not say which step the model is at.
            status: match step.get("completed") {
                Some(Json::Bool(true)) => StepStatus::Completed,
                _ => StepStatus::Pending,
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_says_keeps_its_phase_and_its_text() {
        let item = Json::parse(r#"{"type":"agent_message","text":"hi"}"#).unwrap();
        assert_eq!(
            read(Phase::Updated, item),
            Said::Item {
                phase: Phase::Updated,
                item: Item::Message { text: "hi".into() }
            }
        );
        let item =
            Json::parse(r#"{"type":"todo_list","items":[{"text":"a","completed":true},{}]}"#)
                .unwrap();
        let step = |text: &str, status| PlanStep {
            text: text.into(),
            status,
        };
        assert_eq!(
            read(Phase::Started, item),
            Said::Item {
                phase: Phase::Started,
                item: Item::Plan {
                    steps: [
                        step("a", StepStatus::Completed),
                        step("", StepStatus::Pending)
                    ]
                    .into()
                }
            }
        );
    }

    #[test]
    fn what_the_model_said_is_shown_in_whatever_shape_it_comes() {
        for (written, shown) in [
            (r#""hi""#, "hi"),
            (r#"["a","b"]"#, "ab"),
            (r#"[{"type":"output_text","text":"a"},{"text":"b"}]"#, "ab"),
            (r#"{"value":"a"}"#, r#"{"value":"a"}"#),
            (r#"[{"image":1}]"#, r#"[{"image":1}]"#),
            ("7", "7"),
            ("null", ""),
        ] {
            let mut item = Json::parse(written)
                .map(|value| Json::Object([(Cow::Borrowed("text"), value)].into()));
            assert_eq!(text(item.as_mut().unwrap()), shown, "{written}");
        }
    }

    #[test]
    fn an_error_item_is_a_warning_and_names_a_changed_model() {
        let read = |item| read(Phase::Completed, Json::parse(item).unwrap());
        assert_eq!(
            read(r#"{"type":"error","message":"low disk"}"#),
            Said::Warning {
                message: "low disk".into()
            }
        );
        let message = "This session was recorded with model `a` but is resuming with `b`. Mind it.";
        let item = alloc::format!(r#"{{"type":"error","message":"{message}"}}"#);
        assert_eq!(
            read(&item),
            Said::ModelChanged {
                previous: Some("a".into()),
                model: "b".into(),
                message: message.into()
            }
        );
    }

    #[test]
    fn an_item_of_a_newer_kind_is_unknown() {
        for (item, name) in [(r#"{"type":"sleep"}"#, "sleep"), ("{}", "without type")] {
            assert_eq!(
                read(Phase::Started, Json::parse(item).unwrap()),
                Said::Item {
                    phase: Phase::Started,
                    item: Item::Unknown { kind: name.into() }
                }
            );
        }
    }
}
