//! The items of `codex exec --json`, in neutral terms.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::ser::{Serialize, Serializer};

use super::stderr::BACKTRACE;
use crate::bindings::provider::{PlanStep, ToolKind, ToolStatus};
use crate::json::Json;
use crate::transport::{Item, Phase, Said, Tool, ToolCall};

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
            Some(kind) => Item::Tool(ToolItem {
                id: item.take_text("id").unwrap_or(name),
                kind,
                item,
            }),
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
    if message.starts_with("This session was recorded with model") {
        Said::ModelChanged { message }
    } else {
        Said::Warning { message }
    }
}

fn plan_steps(item: &Json<'_>) -> Vec<PlanStep> {
    item.array("items")
        .iter()
        .map(|step| PlanStep {
            text: step.text("text").unwrap_or_default().to_owned(),
            completed: step.get("completed") == Some(&Json::Bool(true)),
        })
        .collect()
}

fn tool_kind(item_type: &str) -> Option<ToolKind> {
    Some(match item_type {
        "command_execution" => ToolKind::Command,
        "file_change" => ToolKind::FileChange,
        "mcp_tool_call" => ToolKind::McpCall,
        "web_search" => ToolKind::WebSearch,
        "collab_tool_call" => ToolKind::Agent,
        _ => return None,
    })
}

/// An item that is a tool.
#[derive(Debug, PartialEq)]
pub struct ToolItem<'a> {
    /// The type of the item where it has no id.
    id: Cow<'a, str>,
    kind: ToolKind,
    /// All other members.
    item: Json<'a>,
}

impl Tool for ToolItem<'_> {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> ToolKind {
        self.kind
    }

    fn call(&mut self) -> ToolCall {
        // The input first: the title may take a text away.
        let input = input(self.kind, &self.item);
        let title = title(self.kind, &mut self.item);
        ToolCall { title, input }
    }

    fn output(&mut self) -> Option<String> {
        output(self.kind, &mut self.item)
    }

    fn status(&self) -> ToolStatus {
        match self.item.text("status") {
            Some("failed") => ToolStatus::Failed,
            Some("declined") => ToolStatus::Declined,
            // A web search has no status: codex reports only that it ended.
            Some("completed") | None => ToolStatus::Completed,
            Some(_) => ToolStatus::Unknown,
        }
    }

    fn exit_code(&self) -> Option<i32> {
        match self.item.get("exit_code")? {
            Json::Number(number) => number.as_i64().and_then(|code| i32::try_from(code).ok()),
            _ => None,
        }
    }
}

/// One line about a tool. May take texts out of the item.
fn title(tool: ToolKind, item: &mut Json<'_>) -> String {
    let mut text = |key| item.take_text(key).unwrap_or_default();
    match tool {
        ToolKind::Command => text("command").into_owned(),
        ToolKind::FileChange => {
            let changes = item.array("changes").iter();
            let lines: Vec<String> = changes
                .map(|change| {
                    format!(
                        "{} {}",
                        change.text("kind").unwrap_or("change"),
                        change.text("path").unwrap_or("a file")
                    )
                })
                .collect();
            lines.join(", ")
        }
        ToolKind::McpCall => format!("{}.{}", text("server"), text("tool")),
        ToolKind::WebSearch => text("query").into_owned(),
        ToolKind::Agent | ToolKind::Other => text("tool").into_owned(),
    }
}

/// The members that say what a tool was called with.
fn input(tool: ToolKind, item: &Json<'_>) -> String {
    let members: &[&str] = match tool {
        ToolKind::McpCall => {
            return item
                .get("arguments")
                .map_or_else(|| "{}".to_owned(), render);
        }
        ToolKind::Command => &["command"],
        ToolKind::FileChange => &["changes"],
        ToolKind::WebSearch => &["query", "action"],
        ToolKind::Agent | ToolKind::Other => &["prompt", "receiver_thread_ids"],
    };
    render(&Members { of: item, members })
}

/// Some members of a document, as a document of their own.
struct Members<'a> {
    of: &'a Json<'a>,
    members: &'a [&'a str],
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let present = self.members.iter();
        serializer.collect_map(present.filter_map(|key| Some((key, self.of.get(key)?))))
    }
}

/// What a tool has printed or answered. May take texts out of the item.
fn output(tool: ToolKind, item: &mut Json<'_>) -> Option<String> {
    match tool {
        ToolKind::Command => item.take_text("aggregated_output").map(Cow::into_owned),
        ToolKind::McpCall => match item.get("error").and_then(|error| error.text("message")) {
            Some(error) => Some(
                error
                    .split(BACKTRACE)
                    .next()
                    .unwrap_or(error)
                    .trim_end()
                    .to_owned(),
            ),
            None => item.get("result").map(mcp_text),
        },
        ToolKind::Agent => item.get("agents_states").map(render),
        ToolKind::FileChange | ToolKind::WebSearch | ToolKind::Other => None,
    }
}

/// What an MCP tool answered: its text where it is all text, else the document.
fn mcp_text(result: &Json<'_>) -> String {
    let content = result.array("content");
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|part| part.text("text"))
        .collect();
    if texts.is_empty() || texts.len() != content.len() {
        render(result)
    } else {
        texts.join("\n")
    }
}

fn render(value: &impl Serialize) -> String {
    // Cannot fail: the keys are strings and the writer is memory.
    serde_json::to_string(value).unwrap_or_else(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(item: &str) -> ToolItem<'_> {
        match read(Phase::Completed, Json::parse(item).unwrap()) {
            Said::Item {
                item: Item::Tool(tool),
                ..
            } => tool,
            other => panic!("{item}: {other:?}"),
        }
    }

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
        let step = |text: &str, completed| PlanStep {
            text: text.into(),
            completed,
        };
        assert_eq!(
            read(Phase::Started, item),
            Said::Item {
                phase: Phase::Started,
                item: Item::Plan {
                    steps: [step("a", true), step("", false)].into()
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
        let said = read(
            r#"{"type":"error","message":"This session was recorded with model `a` but is resuming with `b`."}"#,
        );
        assert!(matches!(said, Said::ModelChanged { .. }), "{said:?}");
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

    #[test]
    fn a_command_gives_its_line_its_output_and_its_exit_code() {
        let mut tool = tool(
            r#"{"id":"item_1","type":"command_execution","command":"ls","aggregated_output":"a\n","exit_code":2,"status":"failed"}"#,
        );
        assert_eq!((tool.id(), tool.kind()), ("item_1", ToolKind::Command));
        let call = tool.call();
        assert_eq!((&*call.title, &*call.input), ("ls", r#"{"command":"ls"}"#));
        assert_eq!(tool.output().as_deref(), Some("a\n"));
        assert_eq!(
            (tool.status(), tool.exit_code()),
            (ToolStatus::Failed, Some(2))
        );
    }

    #[test]
    fn an_mcp_tool_answers_with_text_a_document_or_an_error_without_its_backtrace() {
        for (answer, output) in [
            (
                r#""result":{"content":[{"text":"a"},{"text":"b"}]}"#,
                "a\nb",
            ),
            (
                r#""result":{"content":[{"image":"x"}]}"#,
                r#"{"content":[{"image":"x"}]}"#,
            ),
            (
                r#""error":{"message":"it broke\n\nStack backtrace:\n 0: x"}"#,
                "it broke",
            ),
        ] {
            let item = format!(
                r#"{{"type":"mcp_tool_call","server":"s","tool":"t","arguments":{{"b":1,"a":2}},{answer}}}"#
            );
            let mut tool = tool(&item);
            let call = tool.call();
            assert_eq!(
                (tool.id(), &*call.title, &*call.input),
                ("mcp_tool_call", "s.t", r#"{"b":1,"a":2}"#)
            );
            assert_eq!(tool.output().as_deref(), Some(output));
        }
    }
}
