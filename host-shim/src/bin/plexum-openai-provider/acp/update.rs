//! The events of a turn, as a client of the protocol sees them.

use std::collections::HashMap;

use plexum_openai_provider::{
    BlockKind, BlockOutcome, Event, NoticeKind, PlanStep, StepStatus, ToolInput, ToolKind,
    ToolStatus,
};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::message::{self, Location, PlanEntry, Priority, Severity, ToolContent, Update};

/// How much of the output of a running tool is shown: its end, in bytes. All of it comes when the tool has ended. Each piece
/// replaces what was shown, so that without a limit a long output would be sent over and over.
const SHOWN_WHILE_RUNNING: usize = 4096;

/// Translates the events of one turn.
pub struct Updates {
    /// Unique in the session, so that the ids made from it are.
    turn: String,
    shows_notices: bool,
    /// Whether something was said before, so that the model should remember it.
    goes_on: bool,
    /// The model does not remember it, and nobody has said so yet.
    forgets: bool,
    /// The last block of text: its index, and whether it was given up.
    text: Option<Block>,
    notices: u32,
    tools: HashMap<String, Tool>,
}

struct Block {
    index: u32,
    given_up: bool,
}

/// A tool that runs.
struct Tool {
    kind: ToolKind,
    output: String,
}

impl Updates {
    /// Of a turn of this name, in a session that `goes_on` or begins with it. A client that shows no notices gets them as
    /// text.
    pub fn new(turn: String, shows_notices: bool, goes_on: bool) -> Self {
        Updates {
            turn,
            shows_notices,
            goes_on,
            forgets: false,
            text: None,
            notices: 0,
            tools: HashMap::new(),
        }
    }

    /// What to send for an event that is not the end of the turn.
    pub fn of(&mut self, event: Event) -> Vec<Update> {
        let is_said = matches!(
            event,
            Event::Notice {
                kind: NoticeKind::SessionReplaced { .. },
                ..
            }
        );
        if is_said {
            self.forgets = false;
        }
        let mut updates: Vec<_> = self.end().into_iter().collect();
        updates.extend(self.of_event(event));
        updates
    }

    /// What to send first, when there is something that the user should know before the turn.
    pub fn warning(&mut self, said: String) -> Update {
        self.notice(Severity::Warning, said)
    }

    /// What is still to be sent at the end of the turn.
    pub fn end(&mut self) -> Option<Update> {
        std::mem::take(&mut self.forgets).then(|| {
            let said = "The model does not remember what was said before in this session: the record of it is gone.";
            self.important(said.to_owned())
        })
    }

    fn of_event(&mut self, event: Event) -> Vec<Update> {
        match event {
            // Why, comes next if codex knows it.
            Event::MessageStart { resumed, .. } => {
                self.forgets = self.goes_on && !resumed;
                Vec::new()
            }
            Event::TextDelta { index, text } => vec![self.text(index, text)],
            Event::ThinkingDelta { index, text } => vec![Update::AgentThoughtChunk {
                message_id: self.id("thought", index),
                content: text.into(),
            }],
            Event::BlockEnd {
                kind: BlockKind::Text,
                index,
                outcome: BlockOutcome::GivenUp,
                ..
            } => {
                self.text = Some(Block {
                    index,
                    given_up: true,
                });
                let said = "Codex discarded the text above, and begins it again.";
                vec![self.notice(Severity::Info, said.to_owned())]
            }
            Event::ToolStart {
                id,
                kind,
                title,
                input,
                ..
            } => vec![self.tool_start(id, kind, title, &input)],
            Event::ToolUpdate {
                id, output_delta, ..
            } => self.tool_update(&id, &output_delta).into_iter().collect(),
            Event::ToolEnd {
                id,
                status,
                output,
                exit_code,
                ..
            } => vec![self.tool_end(&id, status, output, exit_code)],
            Event::Plan { steps, .. } => vec![plan(steps)],
            Event::Usage {
                context_tokens: Some(used),
                context_window: Some(size),
                ..
            } => vec![Update::UsageUpdate { used, size }],
            Event::ModelChange { model, reason, .. } => {
                let said = format!("{model} answers from here on: {reason}");
                vec![self.important(said)]
            }
            Event::Notice { kind, message, .. } => vec![match kind {
                // What was said before, or a part of what was asked, is not known to the model.
                NoticeKind::SessionReplaced { .. } | NoticeKind::Unsupported { .. } => {
                    self.important(message)
                }
                NoticeKind::Reconnecting { .. } => self.notice(Severity::Info, message),
                _ => self.notice(Severity::Warning, message),
            }],
            // What else there is, and what is newer than this, has no form here.
            _ => Vec::new(),
        }
    }

    fn id(&self, what: &str, number: u32) -> String {
        format!("{}-{what}-{number}", self.turn)
    }

    fn text(&mut self, index: u32, text: String) -> Update {
        let is_new = self
            .text
            .as_ref()
            .map(|block| block.index != index || block.given_up);
        self.text = Some(Block {
            index,
            given_up: false,
        });
        // Some clients show all of a turn's text as one.
        let text = if is_new == Some(true) {
            format!("\n\n{text}")
        } else {
            text
        };
        Update::AgentMessageChunk {
            message_id: self.id("text", index),
            content: text.into(),
        }
    }

    /// What changes the meaning of the answer: no client need show a notice, so it is part of the answer.
    fn important(&mut self, said: String) -> Update {
        self.notices += 1;
        let before = if self.text.is_some() { "\n\n" } else { "" };
        Update::AgentMessageChunk {
            message_id: self.id("notice", self.notices),
            content: format!("{before}[{said}]\n\n").into(),
        }
    }

    fn notice(&mut self, severity: Severity, said: String) -> Update {
        if self.shows_notices {
            return Update::Notice {
                severity,
                title: said,
            };
        }
        self.notices += 1;
        Update::AgentThoughtChunk {
            message_id: self.id("notice", self.notices),
            content: format!("[{said}]\n\n").into(),
        }
    }

    fn tool_id(&self, id: &str) -> String {
        format!("{}-{id}", self.turn)
    }

    fn tool_start(
        &mut self,
        id: String,
        kind: ToolKind,
        title: String,
        input: &ToolInput,
    ) -> Update {
        let changes = match kind {
            ToolKind::FileChange => input.parse().unwrap_or_default(),
            _ => Changes::default(),
        };
        let tool_call_id = self.tool_id(&id);
        let output = String::new();
        self.tools.insert(id, Tool { kind, output });
        Update::ToolCall {
            tool_call_id,
            title,
            kind: match kind {
                ToolKind::Command => message::ToolKind::Execute,
                ToolKind::FileChange => message::ToolKind::Edit,
                ToolKind::WebSearch => message::ToolKind::Fetch,
                _ => message::ToolKind::Other,
            },
            status: message::ToolStatus::InProgress,
            content: changes.changes.iter().filter_map(Change::diff).collect(),
            locations: changes.changes.into_iter().map(Change::location).collect(),
            raw_input: raw(input.get()),
        }
    }

    fn tool_update(&mut self, id: &str, delta: &str) -> Option<Update> {
        let tool_call_id = self.tool_id(id);
        let tool = self.tools.get_mut(id)?;
        tool.output.push_str(delta);
        let surplus = tool.output.len().saturating_sub(SHOWN_WHILE_RUNNING);
        if surplus > 0 {
            let surplus = tool.output.ceil_char_boundary(surplus);
            tool.output.drain(..surplus);
        }
        Some(Update::ToolCallUpdate {
            tool_call_id,
            status: None,
            content: Some(vec![shown(tool.kind, &tool.output)]),
            raw_output: None,
        })
    }

    fn tool_end(
        &mut self,
        id: &str,
        status: ToolStatus,
        output: Option<String>,
        exit_code: Option<i32>,
    ) -> Update {
        let tool = self.tools.remove(id);
        let kind = tool.as_ref().map_or(ToolKind::Other, |tool| tool.kind);
        let was_shown = tool.is_some_and(|tool| !tool.output.is_empty());
        // Some clients show this before what the command has printed, so it is left out where it says nothing new.
        let exit_code = exit_code.filter(|code| *code != 0);
        let content = match output {
            // The change itself is shown already.
            _ if kind == ToolKind::FileChange => None,
            Some(output) if !output.is_empty() || was_shown => Some(vec![shown(kind, &output)]),
            _ => None,
        };
        Update::ToolCallUpdate {
            tool_call_id: self.tool_id(id),
            status: Some(match status {
                ToolStatus::Completed => message::ToolStatus::Completed,
                _ => message::ToolStatus::Failed,
            }),
            content,
            raw_output: exit_code.map(|code| json!({ "exitCode": code })),
        }
    }
}

fn plan(steps: Vec<PlanStep>) -> Update {
    let entries = steps.into_iter().map(|step| PlanEntry {
        content: step.text,
        priority: Priority::Medium,
        status: match step.status {
            StepStatus::InProgress => message::StepStatus::InProgress,
            StepStatus::Completed => message::StepStatus::Completed,
            _ => message::StepStatus::Pending,
        },
    });
    Update::Plan {
        entries: entries.collect(),
    }
}

/// The output of a tool; that of a command as it is in a terminal, which Markdown would change.
fn shown(kind: ToolKind, output: &str) -> ToolContent {
    let text = if kind == ToolKind::Command {
        let fence = fence(output);
        let end = if output.ends_with('\n') || output.is_empty() {
            ""
        } else {
            "\n"
        };
        format!("{fence}\n{output}{end}{fence}")
    } else {
        output.to_owned()
    };
    ToolContent::Content {
        content: text.into(),
    }
}

/// More backticks than are anywhere in the text, and no fewer than three.
fn fence(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max();
    "`".repeat(longest.unwrap_or_default().max(2) + 1)
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// What a change of files was called with.
#[derive(Debug, Default, Deserialize)]
struct Changes {
    #[serde(default)]
    changes: Vec<Change>,
}

/// The change of one file.
#[derive(Debug, Deserialize)]
struct Change {
    path: String,
    #[serde(default)]
    kind: String,
    /// Only `codex app-server` tells it.
    #[serde(default)]
    diff: Option<String>,
}

impl Change {
    /// Where it is.
    fn location(self) -> Location {
        Location {
            line: match &*self.kind {
                "add" | "delete" => None,
                _ => self.diff.as_deref().and_then(first_line),
            },
            path: self.path,
        }
    }

    /// What was there and what is there now. Of a file that was changed, these are the lines of the diff: all others are
    /// the same.
    fn diff(&self) -> Option<ToolContent> {
        // A file that was only renamed has none.
        let diff = self.diff.as_deref().filter(|diff| !diff.is_empty())?;
        let (old_text, new_text) = match &*self.kind {
            "add" => (None, diff.to_owned()),
            "delete" => (Some(diff.to_owned()), String::new()),
            _ => {
                let (old, new) = sides(diff);
                (Some(old), new)
            }
        };
        Some(ToolContent::Diff {
            path: self.path.clone(),
            old_text,
            new_text,
        })
    }
}

/// The line at which a unified diff begins, in the new file: `@@ -1,2 +3,4 @@` begins at 3. None of an empty file.
fn first_line(diff: &str) -> Option<u32> {
    let hunk = diff.lines().find_map(|line| line.strip_prefix("@@ "))?;
    let new = hunk.split(' ').find_map(|side| side.strip_prefix('+'))?;
    let line = new.split(',').next()?.parse().ok()?;
    (line > 0).then_some(line)
}

/// The two sides of a unified diff: what is before its first hunk names files.
fn sides(diff: &str) -> (String, String) {
    let (mut old, mut new) = (String::new(), String::new());
    let mut in_hunk = !diff.lines().any(|line| line.starts_with("@@"));
    for line in diff.split_inclusive('\n') {
        match line.split_at_checked(1) {
            Some(("@", _)) => in_hunk = true,
            _ if !in_hunk => {}
            Some(("-", rest)) => old.push_str(rest),
            Some(("+", rest)) => new.push_str(rest),
            Some((" ", rest)) => {
                old.push_str(rest);
                new.push_str(rest);
            }
            // Where the space was cut off.
            _ if line.trim_end().is_empty() => {
                old.push_str(line);
                new.push_str(line);
            }
            // Such as that there is no line feed at the end.
            _ => {}
        }
    }
    (old, new)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What is sent for these events, without the members that are the same in all.
    fn sent(shows_notices: bool, events: &[Value]) -> Vec<Value> {
        let mut updates = Updates::new("t".to_owned(), shows_notices, true);
        let events = events.iter().map(|event| {
            let text = event.to_string();
            serde_json::from_str::<Event>(&text).unwrap()
        });
        let sent = events.flat_map(|event| updates.of(event));
        sent.map(|update| serde_json::to_value(update).unwrap())
            .collect()
    }

    fn text(index: u32, text: &str) -> Value {
        json!({"type": "text_delta", "index": index, "text": text})
    }

    fn chunk(kind: &str, id: &str, text: &str) -> Value {
        json!({"sessionUpdate": kind, "messageId": id, "content": {"type": "text", "text": text}})
    }

    #[test]
    fn each_block_is_a_message_of_its_own() {
        let events = [
            text(0, "Hel"),
            text(0, "lo"),
            json!({"type": "thinking_delta", "index": 0, "text": "hm"}),
            json!({"type": "block_end", "kind": "text", "index": 0, "outcome": "complete"}),
            text(1, "again"),
        ];
        assert_eq!(
            sent(false, &events),
            [
                chunk("agent_message_chunk", "t-text-0", "Hel"),
                chunk("agent_message_chunk", "t-text-0", "lo"),
                chunk("agent_thought_chunk", "t-thought-0", "hm"),
                chunk("agent_message_chunk", "t-text-1", "\n\nagain"),
            ]
        );
    }

    #[test]
    fn what_was_given_up_is_said_and_what_follows_is_another_message() {
        let events = [
            text(0, "cut"),
            json!({"type": "block_end", "kind": "text", "index": 0, "outcome": "given_up"}),
            text(1, "whole"),
        ];
        let told = sent(true, &events);
        assert_eq!(told[1]["sessionUpdate"], "notice");
        assert_eq!(told[2]["messageId"], "t-text-1");
        let told = sent(false, &events);
        assert_eq!(told[1]["sessionUpdate"], "agent_thought_chunk");
    }

    #[test]
    fn a_notice_that_changes_the_answer_is_seen_by_every_client() {
        let lost = json!({"type": "notice", "kind": "session_replaced", "old": "a", "new": "b", "reason": "lost", "message": "It is lost."});
        let warning = json!({"type": "notice", "kind": "warning", "message": "Careful."});
        let told = sent(false, &[lost.clone(), warning.clone()]);
        assert_eq!(
            told,
            [
                chunk("agent_message_chunk", "t-notice-1", "[It is lost.]\n\n"),
                chunk("agent_thought_chunk", "t-notice-2", "[Careful.]\n\n"),
            ]
        );
        let told = sent(true, &[lost, warning]);
        assert_eq!(told[0]["sessionUpdate"], "agent_message_chunk");
        assert_eq!(
            told[1],
            json!({"sessionUpdate": "notice", "severity": "warning", "title": "Careful."})
        );
    }

    #[test]
    fn a_model_that_remembers_nothing_of_a_session_that_goes_on_is_told_once() {
        let start =
            |resumed: bool| json!({"type": "message_start", "thread_id": "x", "resumed": resumed});
        let lost = json!({"type": "notice", "kind": "session_replaced", "old": "a", "new": "b", "reason": "lost", "message": "It is lost."});
        let told = sent(false, &[start(false), text(0, "hello"), text(0, "!")]);
        let said = told[0]["content"]["text"].as_str().unwrap();
        assert!(said.contains("does not remember"), "{said}");
        assert_eq!(told.len(), 3);
        let told = sent(false, &[start(false), lost, text(0, "hello")]);
        assert_eq!(
            told[0],
            chunk("agent_message_chunk", "t-notice-1", "[It is lost.]\n\n")
        );
        assert_eq!(told.len(), 2);
        assert_eq!(sent(false, &[start(true), text(0, "hello")]).len(), 1);
        let mut updates = Updates::new("t".to_owned(), false, true);
        let start = serde_json::from_value(start(false)).unwrap();
        assert!(updates.of(start).is_empty());
        assert!(updates.end().is_some() && updates.end().is_none());
    }

    #[test]
    fn a_command_shows_the_end_of_its_output_and_then_all_of_it() {
        let start = json!({"type": "tool_start", "id": "c", "kind": "command", "title": "ls", "input": {"command": "ls"}});
        let update = |delta: &str| json!({"type": "tool_update", "id": "c", "output_delta": delta});
        let long = "ö".repeat(SHOWN_WHILE_RUNNING);
        let end = json!({"type": "tool_end", "id": "c", "status": "failed", "output": "a```b", "exit_code": 2});
        let told = sent(false, &[start, update(&long), end]);
        assert_eq!(
            told[0],
            json!({"sessionUpdate": "tool_call", "toolCallId": "t-c", "title": "ls", "kind": "execute",
                "status": "in_progress", "rawInput": {"command": "ls"}})
        );
        let shown = told[1]["content"][0]["content"]["text"].as_str().unwrap();
        assert_eq!(
            shown.chars().filter(|letter| *letter == 'ö').count(),
            SHOWN_WHILE_RUNNING / 2
        );
        assert_eq!(
            told[2],
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "t-c", "status": "failed",
                "content": [{"type": "content", "content": {"type": "text", "text": "````\na```b\n````"}}],
                "rawOutput": {"exitCode": 2}})
        );
    }

    #[test]
    fn a_change_of_files_names_them_and_shows_both_sides() {
        let changes = json!({"changes": [
            {"path": "/w/a", "kind": "add", "diff": "x\n"},
            {"path": "/w/b", "kind": "update", "diff": "--- b\n+++ b\n@@ -1,2 +3,2 @@\n same\n\n--- old\n+new\n\\ No newline\n"},
            {"path": "/w/c", "kind": "delete"},
        ]});
        let start = json!({"type": "tool_start", "id": "f", "kind": "file_change", "title": "t", "input": changes});
        let told = sent(false, &[start]);
        assert_eq!(told[0]["kind"], "edit");
        assert_eq!(
            told[0]["locations"],
            json!([{"path": "/w/a"}, {"path": "/w/b", "line": 3}, {"path": "/w/c"}])
        );
        assert_eq!(
            told[0]["content"],
            json!([
                {"type": "diff", "path": "/w/a", "newText": "x\n"},
                {"type": "diff", "path": "/w/b", "oldText": "same\n\n-- old\n", "newText": "same\n\nnew\n"},
            ])
        );
    }

    #[test]
    fn plan_and_context_have_a_form_and_what_has_none_is_left_out() {
        let told = sent(
            false,
            &[
                json!({"type": "plan", "steps": [{"text": "a", "status": "in_progress"}]}),
                json!({"type": "usage", "context_tokens": 5, "context_window": 10}),
                json!({"type": "usage", "context_tokens": 5}),
                json!({"type": "message_start", "thread_id": "x", "resumed": true}),
            ],
        );
        assert_eq!(
            told,
            [
                json!({"sessionUpdate": "plan", "entries": [{"content": "a", "priority": "medium", "status": "in_progress"}]}),
                json!({"sessionUpdate": "usage_update", "used": 5, "size": 10}),
            ]
        );
    }
}
