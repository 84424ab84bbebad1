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
            text: item.take_text("text").unwrap_or_default(),
        },
        "reasoning" => Item::Reasoning {
            text: item.take_text("text").unwrap_or_default(),
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
