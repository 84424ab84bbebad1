//! Codex events become canonical ones.
//!
//! This knows nothing of processes or sessions: it is fed events, and says at the end
//! what the turn came to.

use alloc::borrow::{Cow, ToOwned};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::ser::{Serialize, Serializer};

use crate::bindings::provider::{
    Delta, Event, Notice, NoticeKind, PlanStep, ToolEnd, ToolKind, ToolStart, ToolStatus,
    ToolUpdate, Usage,
};
use crate::failure;
use crate::json::Json;
use crate::line::Phase;

/// What codex's events said of the end of the turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It completed; the thread's running totals, where codex gave them.
    Completed { totals: Option<Usage> },
    /// It failed, with these words.
    Failed { message: String },
}

/// The state of a translation.
#[derive(Debug, Default)]
pub struct Translator {
    /// The answer.
    texts: Blocks,
    /// The reasoning.
    thoughts: Blocks,
    /// Whether the model has begun.
    began: bool,
    /// Whether the connection broke: codex then says again what it has said since the last tool.
    reconnected: bool,
    /// Tools that began and have not ended.
    open_tools: Vec<OpenTool>,
    /// The ids of all tools so far, and how often each was wanted.
    tool_ids: BTreeMap<String, u32>,
    /// The plan as last shown.
    plan: Vec<PlanStep>,
    /// Kinds already reported as unknown.
    unknown: Vec<String>,
    /// How often codex has said in a row that it waits for the network.
    network_waits: u32,
    /// An error that has not turned out to be the end.
    pending_error: Option<String>,
    outcome: Option<Outcome>,
}

/// A tool that began and has not ended.
#[derive(Debug)]
struct OpenTool {
    /// What codex calls it.
    item_id: String,
    /// What it was told as.
    id: String,
}

/// Blocks of text, told once each.
#[derive(Debug, Default)]
struct Blocks {
    /// How many there were.
    count: u32,
    /// Those that codex may say again.
    said: Vec<String>,
    /// How many bytes those have.
    said_bytes: usize,
}

/// How much text is kept to recognise what is only said again. A codex that prints more than this between two tools,
/// and then loses its connection, has the rest of it told twice; without a bound it could fill the memory.
const MAX_SAID_BYTES: usize = 8 * 1024 * 1024;

impl Blocks {
    /// The index of a new block; nothing for an empty one, or for one that is only said again because
    /// codex prints the output of the attempt that it gave up as well.
    fn take(&mut self, text: &str, reconnected: bool) -> Option<u32> {
        if text.is_empty() || (reconnected && self.said.iter().any(|said| said == text)) {
            return None;
        }
        let said_bytes = self.said_bytes.saturating_add(text.len());
        if said_bytes <= MAX_SAID_BYTES {
            self.said.push(text.to_owned());
            self.said_bytes = said_bytes;
        }
        let index = self.count;
        self.count = self.count.saturating_add(1);
        Some(index)
    }

    /// Nothing from before this is said again.
    fn go_on(&mut self) {
        self.said.clear();
        self.said_bytes = 0;
    }
}

impl Translator {
    /// Whether codex has said that the model is at work, or has shown some of it.
    pub fn turn_began(&self) -> bool {
        self.began
    }

    /// How the turn ended, once codex has said so.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The last error that codex told of, if nothing but the end has come since.
    pub fn pending_error(&self) -> Option<&str> {
        self.pending_error.as_deref()
    }

    /// How often codex has said, with nothing in between, that it waits for the network. Since
    /// 0.150 it does so for ever.
    pub fn network_waits(&self) -> u32 {
        self.network_waits
    }

    /// Whether codex is waiting for a tool rather than for the model.
    pub fn tool_is_running(&self) -> bool {
        !self.open_tools.is_empty()
    }

    /// The model is at work.
    pub fn turn_started(&mut self, events: &mut Vec<Event>) {
        self.began = true;
        self.survive(events);
    }

    /// The turn completed.
    pub fn turn_completed(&mut self, totals: Option<Usage>, events: &mut Vec<Event>) {
        self.survive(events);
        self.finish(Outcome::Completed { totals });
    }

    /// The turn failed.
    pub fn turn_failed(&mut self, message: String) {
        // An `error` event with the same words came before; it is told once, as the failure.
        let message = match self.pending_error.take() {
            Some(error) if message.is_empty() => error,
            _ => message,
        };
        self.finish(Outcome::Failed { message });
    }

    /// The first end that codex tells of counts.
    fn finish(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    /// Something went wrong, perhaps for good.
    pub fn error(&mut self, message: String, events: &mut Vec<Event>) {
        let waits = self.network_waits;
        self.survive(events);
        if message.contains("waiting for network") {
            self.network_waits = waits.saturating_add(1);
        }
        if failure::is_transient(&message) {
            self.reconnected = true;
            events.push(notice(NoticeKind::Reconnecting, message.clone()));
        }
        self.pending_error = Some(message);
    }

    /// The turn goes on, so an error before this was not its end.
    fn survive(&mut self, events: &mut Vec<Event>) {
        self.network_waits = 0;
        if let Some(error) = self.pending_error.take()
            && !failure::is_transient(&error)
        {
            events.push(notice(NoticeKind::Warning, error));
        }
    }

    /// An event or item of a kind newer than this component: told once a kind.
    pub fn unknown(&mut self, kind: &str, events: &mut Vec<Event>) {
        if !self.unknown.iter().any(|known| known == kind) {
            self.unknown.push(kind.to_owned());
            let message = format!(
                "codex sent `{kind}`, which this version of the provider does not know; it was left out."
            );
            events.push(notice(NoticeKind::UnknownEvent, message));
        }
    }

    /// An item began, changed or ended.
    pub fn item(&mut self, phase: Phase, mut item: Json<'_>, events: &mut Vec<Event>) {
        self.survive(events);
        let kind = item.take_text("type");
        let kind = kind.as_deref().unwrap_or("item without type");
        // Warnings come before the turn, too.
        self.began |= kind != "error";
        let Some(tool) = tool_kind(kind) else {
            match kind {
                // These come whole, when they are complete.
                "agent_message" if phase == Phase::Completed => self.text(
                    item.take_text("text").unwrap_or_default().into_owned(),
                    events,
                ),
                "reasoning" if phase == Phase::Completed => self.thought(
                    item.take_text("text").unwrap_or_default().into_owned(),
                    events,
                ),
                "agent_message" | "reasoning" => {}
                "todo_list" => self.plan(&item, events),
                "error" => events.push(warning(
                    item.text("message")
                        .unwrap_or("codex gave a warning without words"),
                )),
                unknown => self.unknown(&format!("item {unknown}"), events),
            }
            return;
        };
        self.went_on();
        let item_id = item.take_text("id").unwrap_or(Cow::Borrowed(kind));
        let mut open = self.open_tools.iter();
        let id = match open.position(|open| open.item_id == item_id) {
            Some(at) if phase == Phase::Completed => self.open_tools.remove(at).id,
            Some(at) => {
                if let Some(open) = self.open_tools.get(at)
                    && phase == Phase::Updated
                {
                    events.push(Event::ToolUpdate(ToolUpdate {
                        id: open.id.clone(),
                        output: output(tool, &mut item),
                    }));
                }
                return;
            }
            None => {
                let id = self.unique_tool_id(&item_id);
                events.push(Event::ToolStart(ToolStart {
                    id: id.clone(),
                    kind: tool,
                    // Before the title, which may take a text away.
                    input: input(tool, &item),
                    title: title(tool, &mut item),
                }));
                if phase != Phase::Completed {
                    let item_id = item_id.into_owned();
                    self.open_tools.push(OpenTool { item_id, id });
                    return;
                }
                id
            }
        };
        events.push(Event::ToolEnd(ToolEnd {
            id,
            status: status(&item),
            exit_code: item.get("exit_code").and_then(exit_code),
            output: output(tool, &mut item),
        }));
    }

    /// The id that a new tool is told as: codex's own, with a number behind it if there was one of that id in this turn.
    fn unique_tool_id(&mut self, item_id: &str) -> String {
        let mut id = item_id.to_owned();
        loop {
            let times = self.tool_ids.entry(id.clone()).or_default();
            *times = times.saturating_add(1);
            if *times == 1 {
                return id;
            }
            id = format!("{id}#{times}");
        }
    }

    fn text(&mut self, text: String, events: &mut Vec<Event>) {
        if let Some(index) = self.texts.take(&text, self.reconnected) {
            events.push(Event::TextDelta(Delta { index, text }));
        }
    }

    fn thought(&mut self, text: String, events: &mut Vec<Event>) {
        if let Some(index) = self.thoughts.take(&text, self.reconnected) {
            events.push(Event::ThinkingDelta(Delta { index, text }));
        }
    }

    /// The model has gone on, so nothing before this is said again.
    fn went_on(&mut self) {
        self.reconnected = false;
        self.texts.go_on();
        self.thoughts.go_on();
    }

    fn plan(&mut self, item: &Json<'_>, events: &mut Vec<Event>) {
        let steps: Vec<PlanStep> = item
            .array("items")
            .iter()
            .map(|step| PlanStep {
                text: step.text("text").unwrap_or_default().to_owned(),
                completed: step.get("completed") == Some(&Json::Bool(true)),
            })
            .collect();
        // Codex says the list again, unchanged, when the turn ends.
        if steps != self.plan {
            self.plan.clone_from(&steps);
            events.push(Event::Plan(steps));
        }
    }

    /// Ends what codex began and never ended: 0.135 does so with every command that
    /// takes more than a moment.
    pub fn close_open_tools(&mut self, events: &mut Vec<Event>) {
        events.extend(self.open_tools.drain(..).map(|open| {
            Event::ToolEnd(ToolEnd {
                id: open.id,
                status: ToolStatus::Unknown,
                output: None,
                exit_code: None,
            })
        }));
    }
}

/// A notice that says no more than its sentence.
pub fn notice(kind: NoticeKind, message: String) -> Event {
    Event::Notice(Notice {
        kind,
        message,
        old: None,
        new: None,
        reason: None,
    })
}

/// A warning of codex's own.
fn warning(message: &str) -> Event {
    let kind = if message.starts_with("This session was recorded with model") {
        NoticeKind::ModelChanged
    } else {
        NoticeKind::Warning
    };
    notice(kind, message.to_owned())
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

/// What a tool has said. May take texts out of the item.
fn output(tool: ToolKind, item: &mut Json<'_>) -> Option<String> {
    match tool {
        ToolKind::Command => item.take_text("aggregated_output").map(Cow::into_owned),
        ToolKind::McpCall => {
            let error = item.get("error").map(Json::opened);
            match error.as_ref().and_then(|error| error.text("message")) {
                Some(error) => Some(
                    error
                        .split(failure::BACKTRACE)
                        .next()
                        .unwrap_or(error)
                        .trim_end()
                        .to_owned(),
                ),
                None => item.get("result").map(mcp_text),
            }
        }
        ToolKind::Agent => item.get("agents_states").map(render),
        ToolKind::FileChange | ToolKind::WebSearch | ToolKind::Other => None,
    }
}

/// What an MCP tool answered: its text where it is all text, else the document.
fn mcp_text(result: &Json<'_>) -> String {
    let opened = result.opened();
    let content = opened.array("content");
    let texts: Option<Vec<Cow<'_, str>>> = content
        .iter()
        .map(|part| part.opened().into_owned().take_text("text"))
        .collect();
    match texts {
        Some(texts) if !texts.is_empty() => texts.join("\n"),
        _ => render(result),
    }
}

fn status(item: &Json<'_>) -> ToolStatus {
    match item.text("status") {
        Some("failed") => ToolStatus::Failed,
        Some("declined") => ToolStatus::Declined,
        // A web search has no status: that it ended is all that codex says.
        Some("completed") | None => ToolStatus::Completed,
        Some(_) => ToolStatus::Unknown,
    }
}

fn exit_code(value: &Json<'_>) -> Option<i32> {
    i32::try_from(value.integer()?).ok()
}

fn render(value: &impl Serialize) -> String {
    // Cannot fail: the keys are strings and the writer is memory.
    serde_json::to_string(value).unwrap_or_else(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(translator: &mut Translator, kind: &str, text: &str) -> usize {
        let line = format!(r#"{{"id":"item_0","type":"{kind}","text":"{text}"}}"#);
        let mut events = Vec::new();
        translator.item(Phase::Completed, Json::parse(&line).unwrap(), &mut events);
        events.len()
    }

    #[test]
    fn tools_that_codex_gives_the_same_id_are_told_apart() {
        let mut translator = Translator::default();
        let mut events = Vec::new();
        for (phase, id) in [
            (Phase::Completed, r#""id":"a","#),
            (Phase::Completed, r#""id":"a#2","#),
            (Phase::Started, r#""id":"a","#),
            (Phase::Updated, r#""id":"a","#),
            (Phase::Completed, r#""id":"a","#),
            (Phase::Completed, ""),
            (Phase::Started, ""),
        ] {
            let line = format!(r#"{{{id}"type":"web_search"}}"#);
            translator.item(phase, Json::parse(&line).unwrap(), &mut events);
        }
        translator.close_open_tools(&mut events);
        let told: Vec<String> = events
            .iter()
            .map(|event| match event {
                Event::ToolStart(tool) => format!("+{}", tool.id),
                Event::ToolUpdate(tool) => format!("~{}", tool.id),
                Event::ToolEnd(tool) => format!("-{}", tool.id),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                "+a",
                "-a",
                "+a#2",
                "-a#2",
                "+a#2#2",
                "~a#2#2",
                "-a#2#2",
                "+web_search",
                "-web_search",
                "+web_search#2",
                "-web_search#2"
            ]
        );
    }

    #[test]
    fn what_a_reconnect_repeats_is_told_once_and_what_the_model_repeats_is_told_again() {
        for kind in ["agent_message", "reasoning"] {
            let mut translator = Translator::default();
            assert_eq!(message(&mut translator, kind, "done"), 1);
            assert_eq!(
                message(&mut translator, kind, "done"),
                1,
                "the model may say it twice"
            );
            translator.error("Reconnecting... 1/5 (cut)".into(), &mut Vec::new());
            assert_eq!(message(&mut translator, kind, "done"), 0);
            assert_eq!(message(&mut translator, kind, "other"), 1);
            message(&mut translator, "web_search", "");
            assert_eq!(
                message(&mut translator, kind, "done"),
                1,
                "that was another answer"
            );
        }
    }
}
