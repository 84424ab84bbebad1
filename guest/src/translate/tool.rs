//! The tools of a turn: each starts once, under an id of its own, and ends once.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use crate::bindings::turns::{Event, ToolEnd, ToolKind, ToolStart, ToolStatus, ToolUpdate};
use crate::transport::{Phase, Tool, ToolCall};

/// All tools so far.
#[derive(Debug, Default)]
pub struct Tools {
    /// Those that started and have not ended, by codex's id for them.
    open: BTreeMap<String, OpenTool>,
    /// How many have started.
    started: u64,
    /// The ids of all, and how often each was wanted.
    ids: BTreeMap<String, u32>,
}

/// A tool that started and has not ended.
#[derive(Debug)]
struct OpenTool {
    /// Its place among all that started.
    position: u64,
    /// Its id in the events.
    id: String,
    kind: ToolKind,
    /// How many bytes of its output have been reported.
    reported: usize,
    /// The last of those.
    reported_end: String,
}

/// How much of the reported output is kept to see whether codex still repeats it.
const REPORTED_END_BYTES: usize = 64;

impl Tools {
    /// Whether one has started and not ended.
    pub fn is_running(&self) -> bool {
        !self.open.is_empty()
    }

    /// A tool started, changed or ended. Returns whether that is the first that is said of it.
    pub fn report(&mut self, phase: Phase, mut tool: impl Tool, events: &mut Vec<Event>) -> bool {
        let item_id = tool.id().to_owned();
        let (id, is_new) = match self.open.entry(item_id) {
            Entry::Occupied(open) if phase == Phase::Completed => (open.remove().id, false),
            Entry::Occupied(mut open) => {
                if phase == Phase::Updated {
                    events.extend(open.get_mut().news(&mut tool));
                }
                return false;
            }
            Entry::Vacant(_) => {
                let id = self.unique_id(tool.id());
                let ToolCall { title, input } = tool.call();
                events.push(Event::ToolStart(ToolStart {
                    id: id.clone(),
                    kind: tool.kind(),
                    title,
                    input,
                }));
                if phase != Phase::Completed {
                    self.started = self.started.saturating_add(1);
                    let mut open = OpenTool {
                        position: self.started,
                        id,
                        kind: tool.kind(),
                        reported: 0,
                        reported_end: String::new(),
                    };
                    events.extend(open.news(&mut tool));
                    self.open.insert(tool.id().to_owned(), open);
                    return true;
                }
                (id, true)
            }
        };
        events.push(Event::ToolEnd(ToolEnd {
            id,
            status: tool.status(),
            exit_code: tool.exit_code(),
            output: tool.output(),
        }));
        is_new
    }

    /// A running tool has written something. Nothing if codex has not said that it runs.
    pub fn append(&mut self, item_id: &str, output_delta: String, events: &mut Vec<Event>) {
        if let Some(open) = self.open.get(item_id)
            && !output_delta.is_empty()
        {
            let id = open.id.clone();
            events.push(Event::ToolUpdate(ToolUpdate { id, output_delta }));
        }
    }

    /// The id of a new tool in the events: codex's own, with a number appended if an earlier tool of this turn has it.
    fn unique_id(&mut self, item_id: &str) -> String {
        let mut id = item_id.to_owned();
        loop {
            let times = self.ids.entry(id.clone()).or_default();
            *times = times.saturating_add(1);
            if *times == 1 {
                return id;
            }
            id = format!("{id}#{times}");
        }
    }

    /// Ends what codex started and never ended: 0.135 does so with every command that takes more than a moment.
    pub fn close_all(&mut self, events: &mut Vec<Event>) {
        self.close(|_| true, events);
    }

    /// Ends the tools that the model's service runs: when the connection to it breaks, codex hears no more of them.
    pub fn close_those_of_the_service(&mut self, events: &mut Vec<Event>) {
        self.close(|open| open.kind == ToolKind::WebSearch, events);
    }

    fn close(&mut self, which: impl Fn(&OpenTool) -> bool, events: &mut Vec<Event>) {
        let (closed, open): (BTreeMap<_, _>, _) = mem::take(&mut self.open)
            .into_iter()
            .partition(|(_, open)| which(open));
        self.open = open;
        let mut closed: Vec<OpenTool> = closed.into_values().collect();
        closed.sort_by_key(|closed| closed.position);
        events.extend(closed.into_iter().map(|closed| {
            Event::ToolEnd(ToolEnd {
                id: closed.id,
                status: ToolStatus::Unknown,
                output: None,
                exit_code: None,
            })
        }));
    }
}

impl OpenTool {
    /// What was added to its output, which codex repeats from the beginning. Output that was cut at its beginning, or
    /// changed, is not reported before the end. Nor is what other tools than commands answer: that is one document.
    fn news(&mut self, tool: &mut impl Tool) -> Option<Event> {
        let is_command = tool.kind() == ToolKind::Command;
        let output = is_command.then(|| tool.output())??;
        let (repeated, added) = output.split_at_checked(self.reported)?;
        if added.is_empty() || !repeated.ends_with(&self.reported_end) {
            return None;
        }
        self.reported = output.len();
        let end = output.ceil_char_boundary(output.len().saturating_sub(REPORTED_END_BYTES));
        output
            .get(end..)
            .unwrap_or_default()
            .clone_into(&mut self.reported_end);
        Some(Event::ToolUpdate(ToolUpdate {
            id: self.id.clone(),
            output_delta: added.to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tool that is nothing but its id and its output so far.
    struct Id(&'static str, Option<&'static str>);

    impl Tool for Id {
        fn id(&self) -> &str {
            self.0
        }

        fn kind(&self) -> ToolKind {
            ToolKind::Command
        }

        fn call(&mut self) -> ToolCall {
            ToolCall {
                title: String::new(),
                input: "{}".into(),
            }
        }

        fn output(&mut self) -> Option<String> {
            self.1.map(ToOwned::to_owned)
        }

        fn status(&self) -> ToolStatus {
            ToolStatus::Completed
        }

        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    #[test]
    fn tools_that_codex_gives_the_same_id_are_told_apart() {
        let mut tools = Tools::default();
        let mut events = Vec::new();
        for (phase, id) in [
            (Phase::Completed, "a"),
            (Phase::Completed, "a#2"),
            (Phase::Started, "a"),
            (Phase::Updated, "a"),
            (Phase::Completed, "a"),
            (Phase::Completed, "b"),
            (Phase::Started, "b"),
        ] {
            tools.report(phase, Id(id, None), &mut events);
        }
        assert!(tools.is_running());
        tools.close_all(&mut events);
        assert!(!tools.is_running());
        let reported: Vec<String> = events
            .iter()
            .map(|event| match event {
                Event::ToolStart(tool) => format!("+{}", tool.id),
                Event::ToolEnd(tool) => format!("-{}", tool.id),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            reported,
            [
                "+a", "-a", "+a#2", "-a#2", "+a#2#2", "-a#2#2", "+b", "-b", "+b#2", "-b#2"
            ]
        );
    }

    #[test]
    fn only_what_is_new_in_an_output_is_reported() {
        let mut tools = Tools::default();
        let mut events = Vec::new();
        for (phase, output) in [
            (Phase::Started, Some("")),
            (Phase::Updated, Some("one\n")),
            (Phase::Updated, None),
            (Phase::Updated, Some("one\n")),
            (Phase::Updated, Some("one\ntwo\n")),
            (Phase::Updated, Some("o")),
            (Phase::Updated, Some("ONE\nTWO\nTHREE\n")),
            (Phase::Completed, Some("one\ntwo\nthree\n")),
        ] {
            tools.report(phase, Id("a", output), &mut events);
        }
        let reported: Vec<&str> = events
            .iter()
            .map(|event| match event {
                Event::ToolStart(_) => "start",
                Event::ToolUpdate(tool) => &tool.output_delta,
                Event::ToolEnd(tool) => tool.output.as_deref().unwrap_or_default(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(reported, ["start", "one\n", "two\n", "one\ntwo\nthree\n"]);
    }
}
