//! The tools among codex's items: what each is called with, and what it answers. They are read as `codex exec` writes them;
//! another transport brings its own into that form.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::turns::{ToolKind, ToolStatus};
use crate::json::{Json, Writer};
use crate::transport::text::BACKTRACE;
use crate::transport::{Tool, ToolCall};

/// An item that is a tool.
#[derive(Debug)]
pub struct ToolItem<'a> {
    /// The type of the item where it has no id.
    id: Cow<'a, str>,
    kind: ToolKind,
    /// All other members.
    item: Json<'a>,
    /// Brings the members that say what it was called with into the form of `codex exec`.
    called_as: CalledAs,
}

/// See [`ToolItem::called_as`].
type CalledAs = fn(ToolKind, &mut Json<'_>);

impl PartialEq for ToolItem<'_> {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, self.kind, &self.item) == (&other.id, other.kind, &other.item)
    }
}

impl<'a> ToolItem<'a> {
    /// The tool that this item is, of that kind; `name` is its type.
    pub fn new(kind: ToolKind, name: Cow<'a, str>, mut item: Json<'a>) -> Self {
        ToolItem {
            id: item.take_text("id").unwrap_or(name),
            kind,
            item,
            called_as: |_, _| {},
        }
    }

    /// The same, where the members that say what it was called with have yet to be brought into the form of `codex exec`.
    /// That is done when they are asked for.
    pub fn called_as(mut self, called_as: CalledAs) -> Self {
        self.called_as = called_as;
        self
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
        (self.called_as)(self.kind, &mut self.item);
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
                        change_kind(change).unwrap_or("change"),
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

/// What was done to a file.
fn change_kind<'a>(change: &'a Json<'_>) -> Option<&'a str> {
    let kind = change.get("kind")?;
    kind.as_text().or_else(|| kind.text("type"))
}

/// The members that say what a tool was called with.
fn input(tool: ToolKind, item: &Json<'_>) -> String {
    let members: &[&str] = match tool {
        ToolKind::McpCall => {
            return item
                .get("arguments")
                .map_or_else(|| "{}".to_owned(), Json::to_json);
        }
        ToolKind::Command => &["command"],
        ToolKind::FileChange => &["changes"],
        ToolKind::WebSearch => &["query", "action"],
        ToolKind::Agent | ToolKind::Other => &["prompt", "receiver_thread_ids"],
    };
    let present = members.iter();
    Writer::object(present.filter_map(|key| Some((*key, item.get(key)?))))
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
        ToolKind::Agent => item.get("agents_states").map(Json::to_json),
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
        _ => result.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::exec::item::tool_kind;

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
