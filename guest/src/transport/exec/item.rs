//! The items of `codex exec --json`, in neutral terms.

use alloc::borrow::{Cow, ToOwned};
use alloc::vec::Vec;

use crate::bindings::turns::{PlanStep, StepStatus, ToolKind};
use crate::json::Json;
use crate::transport::text::text;
use crate::transport::tool::ToolItem;
use crate::transport::warning::warning;
use crate::transport::{Item, Phase, Said};

/// The kind of tool that items of this type are; nothing for those that are not tools.
pub fn tool_kind(item_type: &str) -> Option<ToolKind> {
    Some(match item_type {
        "command_execution" => ToolKind::Command,
        "file_change" => ToolKind::FileChange,
        "mcp_tool_call" => ToolKind::McpCall,
        "web_search" => ToolKind::WebSearch,
        "collab_tool_call" => ToolKind::Agent,
        _ => return None,
    })
}

/// Reads one item, an object.
pub fn read(phase: Phase, mut item: Json<'_>) -> Said<'_> {
    let name = item
        .take_text("type")
        .unwrap_or(Cow::Borrowed("without type"));
    let item = match &*name {
        "agent_message" => Item::Message {
            id: item.take_text("id").unwrap_or_default(),
            text: text(&mut item),
        },
        "reasoning" => Item::Reasoning {
            id: item.take_text("id").unwrap_or_default(),
            text: text(&mut item),
        },
        "todo_list" => Item::Plan {
            steps: plan_steps(&item),
        },
        // Despite its name a warning, which may come before the turn begins.
        "error" => {
            let message = item.take_text("message");
            return warning(message.unwrap_or(Cow::Borrowed("codex gave a warning without text")));
        }
        other => match tool_kind(other) {
            Some(kind) => Item::Tool(ToolItem::new(kind, name, item)),
            None => Item::Unknown {
                kind: name.into_owned(),
            },
        },
    };
    Said::Item { phase, item }
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
        let item = Json::parse(r#"{"id":"item_0","type":"agent_message","text":"hi"}"#).unwrap();
        assert_eq!(
            read(Phase::Updated, item),
            Said::Item {
                phase: Phase::Updated,
                item: Item::Message {
                    id: "item_0".into(),
                    text: "hi".into()
                }
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
    fn an_error_item_is_a_warning() {
        let read = |item| read(Phase::Completed, Json::parse(item).unwrap());
        for (item, message) in [
            (r#"{"type":"error","message":"low disk"}"#, "low disk"),
            (r#"{"type":"error"}"#, "codex gave a warning without text"),
        ] {
            let message = message.into();
            assert_eq!(read(item), Said::Warning { message });
        }
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
