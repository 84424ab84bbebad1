//! The tools among the items of `codex exec --json`: what each is called with, and what it answers.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::ser::{Serialize, Serializer};

use super::stderr::BACKTRACE;
use crate::bindings::turns::{ToolKind, ToolStatus};
use crate::json::Json;
use crate::transport::{Tool, ToolCall};

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

/// An item that is a tool.
#[derive(Debug, PartialEq)]
pub struct ToolItem<'a> {
    /// The type of the item where it has no id.
    id: Cow<'a, str>,
    kind: ToolKind,
    /// All other members.
    item: Json<'a>,
}

impl<'a> ToolItem<'a> {
    /// The tool that this item is, of that kind; `name` is its type.
    pub fn new(kind: ToolKind, name: Cow<'a, str>, mut item: Json<'a>) -> Self {
        ToolItem {
            id: item.take_text("id").unwrap_or(name),
            kind,
            item,
        }
    }
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
        i32::try_from(self.item.get("exit_code")?.integer()?).ok()
    }
}

/// One line about a tool. May take texts out of the item.
fn title(tool: ToolKind, item: &mut Json<'_>) -> String {
    let mut text = |key| item.take_text(key).unwrap_or_default();
    match tool {
        ToolKind::Command => text("command").into_owned(),
        ToolKind::FileChange => {
            let changes = item.array("changes");
            let lines: Vec<String> = changes
                .iter()
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
    let opened = result.opened();
    let content = opened.array("content");
    let texts: Option<Vec<&str>> = content.iter().map(|part| part.text("text")).collect();
    match texts {
        Some(texts) if !texts.is_empty() => texts.join("\n"),
        _ => render(result),
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
        let mut item = Json::parse(item).unwrap();
        let name = item.take_text("type").unwrap();
        ToolItem::new(tool_kind(&name).unwrap(), name, item)
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
