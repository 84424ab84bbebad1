//! What codex reports becomes canonical events.
//!
//! This knows nothing of processes, transports or sessions: it is given reports, and reports in the end how the turn
//! ended.

mod blocks;
mod plan;
mod tool;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::turns::{
    BlockKind, Event, FailureKind, ModelChange, NoticeKind, Reconnection, Usage, UsageUpdate,
};
use crate::conversation::usage::is_counted;
use crate::notice::notice;
use crate::transport::{Item, Phase, Retry, Used};

use blocks::Blocks;
use plan::Plan;
use tool::Tools;

/// What codex reported of the end of the turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It completed; the thread's running totals, where codex gave them.
    Completed { totals: Option<Usage> },
    /// It failed, with these words; `kind` is what codex calls it, where it does.
    Failed {
        message: String,
        kind: Option<FailureKind>,
    },
    /// It was interrupted.
    Interrupted,
}

/// The state of a translation.
#[derive(Debug)]
pub struct Translator {
    /// The answer.
    texts: Blocks,
    /// The reasoning.
    thoughts: Blocks,
    tools: Tools,
    plan: Plan,
    /// Whether the model has begun.
    began: bool,
    /// Whether the connection broke: codex then repeats what it has said since the last tool.
    reconnected: bool,
    /// Kinds already reported as unknown.
    unknown: BTreeSet<String>,
    /// How often codex has said in a row that it waits for the network.
    network_waits: u32,
    /// An error that has not turned out to be the end.
    pending_error: Option<PendingError>,
    /// Tokens used so far, where codex says so while the turn runs.
    used: Option<Used>,
    outcome: Option<Outcome>,
}

/// An error that has not turned out to be the end.
#[derive(Debug)]
struct PendingError {
    message: String,
    /// Whether a notice has reported it, because codex said that it tries again.
    reported: bool,
}

impl Translator {
    /// For a turn of which nothing has been reported. `streams` is whether the transport gives texts piece by piece.
    pub fn new(streams: bool) -> Self {
        Translator {
            texts: Blocks::new(BlockKind::Text, streams),
            thoughts: Blocks::new(BlockKind::Thinking, streams),
            tools: Tools::default(),
            plan: Plan::default(),
            began: false,
            reconnected: false,
            unknown: BTreeSet::new(),
            network_waits: 0,
            pending_error: None,
            used: None,
            outcome: None,
        }
    }

    /// Whether codex has said that the model is at work, or has shown some of it.
    pub fn turn_began(&self) -> bool {
        self.began
    }

    /// Whether some of the answer has been shown.
    pub fn has_answered(&self) -> bool {
        self.texts.count() > 0
    }

    /// How the turn ended, once codex has said so.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The last error that codex reported, if nothing but the end has come since.
    pub fn pending_error(&self) -> Option<&str> {
        self.pending_error
            .as_ref()
            .map(|error| error.message.as_str())
    }

    /// Tokens used so far, where codex says so while the turn runs.
    pub fn used(&self) -> Option<&Used> {
        self.used.as_ref()
    }

    /// How often codex has said, with nothing in between, that it waits for the network. Since
    /// 0.150 it may do so without end.
    pub fn network_waits(&self) -> u32 {
        self.network_waits
    }

    /// Whether codex is waiting for a tool rather than for the model.
    pub fn tool_is_running(&self) -> bool {
        self.tools.is_running()
    }

    /// The model is at work.
    pub fn turn_started(&mut self, events: &mut Vec<Event>) {
        self.began = true;
        self.settle_pending_error(events);
    }

    /// The turn completed.
    pub fn turn_completed(&mut self, totals: Option<Usage>, events: &mut Vec<Event>) {
        self.settle_pending_error(events);
        self.finish(Outcome::Completed { totals });
    }

    /// The turn was interrupted.
    pub fn turn_interrupted(&mut self) {
        self.finish(Outcome::Interrupted);
    }

    /// The turn failed; `kind` is what codex calls that, where it does.
    pub fn turn_failed(&mut self, message: String, kind: Option<FailureKind>) {
        // An error with the same words came before; it is reported once, as the failure.
        let message = match self.pending_error.take() {
            Some(error) if message.is_empty() => error.message,
            _ => message,
        };
        self.finish(Outcome::Failed { message, kind });
    }

    /// The first end that codex reports counts.
    fn finish(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    /// Something went wrong, perhaps for good.
    pub fn error(&mut self, message: String, retry: Option<Retry>, events: &mut Vec<Event>) {
        let waits = self.network_waits;
        self.settle_pending_error(events);
        if retry == Some(Retry::Network) {
            self.network_waits = waits.saturating_add(1);
        }
        if let Some(retry) = retry {
            self.reconnected = true;
            self.texts.give_up(events);
            self.thoughts.give_up(events);
            self.tools.close_those_of_the_service(events);
            let reconnection = match retry {
                Retry::Request(reconnection) => reconnection,
                Retry::Network => Reconnection {
                    attempt: None,
                    attempts: None,
                },
            };
            let kind = NoticeKind::Reconnecting(reconnection);
            events.push(notice(kind, message.clone()));
        }
        self.pending_error = Some(PendingError {
            message,
            reported: retry.is_some(),
        });
    }

    /// The turn continues, so an error before this did not end it and becomes a warning.
    fn settle_pending_error(&mut self, events: &mut Vec<Event>) {
        self.network_waits = 0;
        if let Some(error) = self.pending_error.take()
            && !error.reported
        {
            events.push(notice(NoticeKind::Warning, error.message));
        }
    }

    /// Codex warns. This may come before the turn begins.
    pub fn warning(&mut self, message: String, events: &mut Vec<Event>) {
        self.settle_pending_error(events);
        events.push(notice(NoticeKind::Warning, message));
    }

    /// Another model answers. This may come before the turn begins.
    pub fn model_changed(&mut self, change: ModelChange, events: &mut Vec<Event>) {
        self.settle_pending_error(events);
        events.push(Event::ModelChange(change));
    }

    /// A report or an item of a kind newer than this component: reported once a kind.
    pub fn unknown(&mut self, kind: &str, events: &mut Vec<Event>) {
        if !self.unknown.contains(kind) {
            self.unknown.insert(kind.to_owned());
            let message = format!(
                "codex sent `{kind}`, which this version of the provider does not know; it was skipped."
            );
            events.push(notice(NoticeKind::UnknownEvent(kind.to_owned()), message));
        }
    }

    /// The model has written a piece of the block that this item will hold.
    pub fn piece(&mut self, kind: BlockKind, item_id: &str, text: String, events: &mut Vec<Event>) {
        self.settle_pending_error(events);
        self.began = true;
        let blocks = match kind {
            BlockKind::Text => &mut self.texts,
            BlockKind::Thinking => &mut self.thoughts,
        };
        blocks.piece(item_id, text, self.reconnected, events);
    }

    /// A running tool has written something.
    pub fn tool_output(&mut self, item_id: &str, text: String, events: &mut Vec<Event>) {
        self.settle_pending_error(events);
        self.tools.append(item_id, text, events);
    }

    /// Tokens used so far.
    pub fn tokens_used(&mut self, used: Used, events: &mut Vec<Event>) {
        events.push(Event::Usage(UsageUpdate {
            usage: used.turn.filter(is_counted),
            thread_usage: Some(used.totals).filter(is_counted),
            context_tokens: used.context_tokens,
            context_window: used.context_window,
        }));
        self.used = Some(used);
    }

    /// An item started, changed or ended.
    pub fn item(&mut self, phase: Phase, item: Item<'_>, events: &mut Vec<Event>) {
        self.settle_pending_error(events);
        self.began = true;
        match item {
            // Only a completed one is known to be whole.
            Item::Message { id, text } if phase == Phase::Completed => {
                self.texts
                    .complete(&id, text.into_owned(), self.reconnected, events);
            }
            Item::Reasoning { id, text } if phase == Phase::Completed => {
                self.thoughts
                    .complete(&id, text.into_owned(), self.reconnected, events);
            }
            Item::Message { .. } | Item::Reasoning { .. } => {}
            Item::Plan { steps } => self.plan.show(steps, events),
            Item::Tool(tool) => {
                if self.tools.report(phase, tool, events) {
                    self.forget_said();
                }
            }
            Item::Unknown { kind } => self.unknown(&format!("item {kind}"), events),
        }
    }

    /// The model has gone on to a tool, so codex repeats nothing from before this.
    fn forget_said(&mut self) {
        self.reconnected = false;
        self.texts.forget_said();
        self.thoughts.forget_said();
    }

    /// Ends the tools that codex started and never ended.
    pub fn close_open_tools(&mut self, events: &mut Vec<Event>) {
        self.tools.close_all(events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::turns::BlockOutcome;
    use crate::conversation::usage::{ZERO, of_totals};
    use crate::transport::{Said, exec};

    const FIRST: Reconnection = Reconnection {
        attempt: Some(1),
        attempts: Some(5),
    };
    const UNNUMBERED: Reconnection = Reconnection {
        attempt: None,
        attempts: None,
    };
    const AGAIN: Retry = Retry::Request(FIRST);

    fn complete(translator: &mut Translator, item: Item<'_>) -> usize {
        let mut events = Vec::new();
        translator.item(Phase::Completed, item, &mut events);
        events.len()
    }

    #[test]
    fn what_a_reconnect_repeats_is_reported_once_and_what_the_model_repeats_is_reported_again() {
        let message = |text: &'static str| Item::Message {
            id: "a".into(),
            text: text.into(),
        };
        let reasoning = |text: &'static str| Item::Reasoning {
            id: "a".into(),
            text: text.into(),
        };
        for said in [message, reasoning] {
            let mut translator = Translator::new(false);
            assert_eq!(complete(&mut translator, said("done")), 1);
            assert_eq!(
                complete(&mut translator, said("done")),
                1,
                "the model may say it twice"
            );
            translator.error("cut".into(), Some(AGAIN), &mut Vec::new());
            assert_eq!(complete(&mut translator, said("done")), 0);
            assert_eq!(complete(&mut translator, said("other")), 1);
            let line = r#"{"type":"item.completed","item":{"id":"a","type":"web_search"}}"#;
            match exec::line::read(line) {
                Ok(Said::Item { item, .. }) => assert_eq!(complete(&mut translator, item), 2),
                other => panic!("{other:?}"),
            }
            assert_eq!(
                complete(&mut translator, said("done")),
                1,
                "that was another answer"
            );
        }
    }

    #[test]
    fn an_error_that_did_not_end_the_turn_becomes_a_warning_unless_it_was_reported() {
        for (retry, kinds) in [
            (None, [NoticeKind::Warning].as_slice()),
            (Some(AGAIN), &[NoticeKind::Reconnecting(FIRST)]),
            (
                Some(Retry::Network),
                &[NoticeKind::Reconnecting(UNNUMBERED)],
            ),
        ] {
            let mut translator = Translator::new(true);
            let mut events = Vec::new();
            translator.error("it broke".into(), retry, &mut events);
            assert_eq!(translator.pending_error(), Some("it broke"));
            assert_eq!(
                translator.network_waits(),
                u32::from(retry == Some(Retry::Network))
            );
            translator.turn_started(&mut events);
            assert_eq!(
                (translator.pending_error(), translator.network_waits()),
                (None, 0)
            );
            let reported: Vec<NoticeKind> = events
                .iter()
                .map(|event| match event {
                    Event::Notice(notice) => notice.kind.clone(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(reported, kinds);
        }
    }

    /// The events of some reports, in short: `t0:text`, `r0:reasoning`, `t0!` for the end of a block, `t0x` for one that
    /// was given up, `+id`, `id:output` and `-id` for tools, `?`, `~` and `warning` for notices of unknown kinds, of a retry
    /// and of what else is wrong.
    fn shown(report: impl FnOnce(&mut Translator, &mut Vec<Event>)) -> String {
        let (mut translator, mut events) = (Translator::new(true), Vec::new());
        report(&mut translator, &mut events);
        let letter = |kind| match kind {
            BlockKind::Text => "t",
            BlockKind::Thinking => "r",
        };
        let one = |event: &Event| match event {
            Event::TextDelta(delta) => format!("t{}:{}", delta.index, delta.text),
            Event::ThinkingDelta(delta) => format!("r{}:{}", delta.index, delta.text),
            Event::BlockEnd(end) => {
                let how = if end.outcome == BlockOutcome::Complete {
                    "!"
                } else {
                    "x"
                };
                format!("{}{}{how}", letter(end.kind), end.index)
            }
            Event::ToolStart(tool) => format!("+{}", tool.id),
            Event::ToolUpdate(tool) => format!("{}:{}", tool.id, tool.output_delta),
            Event::ToolEnd(tool) => format!("-{}", tool.id),
            Event::Notice(notice) => match &notice.kind {
                NoticeKind::UnknownEvent(kind) => format!("?{kind}"),
                NoticeKind::Reconnecting(_) => "~".into(),
                NoticeKind::Warning => "warning".into(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        events.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn message(id: &'static str, text: &'static str) -> Item<'static> {
        Item::Message {
            id: id.into(),
            text: text.into(),
        }
    }

    fn command() -> Item<'static> {
        tool(
            r#"{"type":"item.started","item":{"id":"c","type":"command_execution","command":"ls"}}"#,
        )
    }

    fn web_search() -> Item<'static> {
        tool(r#"{"type":"item.started","item":{"id":"w","type":"web_search","query":"q"}}"#)
    }

    fn tool(line: &'static str) -> Item<'static> {
        match exec::line::read(line) {
            Ok(Said::Item { item, .. }) => item,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_broken_connection_takes_back_what_was_being_written_and_nothing_else() {
        let shown = shown(|translator, events| {
            translator.piece(BlockKind::Thinking, "r1", "hm".into(), events);
            translator.piece(BlockKind::Text, "m1", "that is cut".into(), events);
            translator.error("cut".into(), Some(AGAIN), events);
            translator.piece(BlockKind::Text, "m2", "Recovered".into(), events);
            translator.item(Phase::Completed, message("m2", "Recovered"), events);
            translator.error("cut".into(), Some(AGAIN), events);
            // What is whole stays, and its repetition is not shown.
            translator.piece(BlockKind::Text, "m3", "Reco".into(), events);
            translator.piece(BlockKind::Text, "m3", "vered".into(), events);
            translator.item(Phase::Completed, message("m3", "Recovered"), events);
            translator.piece(BlockKind::Text, "m4", "and more".into(), events);
            translator.item(Phase::Completed, message("m4", "and more"), events);
        });
        assert_eq!(
            shown,
            "r0:hm t0:that is cut t0x r0x ~ t1:Recovered t1! ~ t2:and more t2!"
        );
    }

    #[test]
    fn a_message_that_comes_whole_needs_no_pieces() {
        let shown = shown(|translator, events| {
            translator.item(Phase::Started, message("m", "all at once"), events);
            translator.item(Phase::Completed, message("m", "all at once"), events);
        });
        assert_eq!(shown, "t0:all at once t0!");
    }

    #[test]
    fn a_tool_shows_what_it_writes_while_it_runs() {
        let shown = shown(|translator, events| {
            translator.tool_output("c", "too early".into(), events);
            translator.item(Phase::Started, command(), events);
            assert!(translator.tool_is_running());
            translator.tool_output("c", "1\n".into(), events);
            translator.tool_output("other", "x".into(), events);
            translator.tool_output("c", String::new(), events);
            translator.item(Phase::Completed, command(), events);
            assert!(!translator.tool_is_running());
            translator.tool_output("c", "too late".into(), events);
        });
        assert_eq!(shown, "+c c:1\n -c");
    }

    #[test]
    fn a_broken_connection_ends_a_search_of_the_service_and_no_command() {
        let shown = shown(|translator, events| {
            translator.item(Phase::Started, command(), events);
            translator.item(Phase::Started, web_search(), events);
            // Not before codex tries again.
            translator.error("mind it".into(), None, events);
            translator.error("cut".into(), Some(AGAIN), events);
            assert!(translator.tool_is_running(), "the command");
            translator.item(Phase::Completed, command(), events);
            assert!(!translator.tool_is_running());
            translator.item(Phase::Completed, web_search(), events);
        });
        assert_eq!(shown, "+c +w warning -w ~ -c +w#2 -w#2");
    }

    #[test]
    fn the_end_of_a_tool_does_not_make_a_repetition_new() {
        let shown = shown(|translator, events| {
            translator.item(Phase::Started, command(), events);
            translator.item(Phase::Completed, message("m1", "so far"), events);
            translator.error("cut".into(), Some(AGAIN), events);
            translator.item(Phase::Completed, command(), events);
            translator.item(Phase::Completed, message("m2", "so far"), events);
            // This one came only when it was over.
            translator.item(Phase::Completed, web_search(), events);
            translator.item(Phase::Completed, message("m3", "so far"), events);
        });
        assert_eq!(shown, "+c t0:so far t0! ~ -c +w -w t1:so far t1!");
    }

    #[test]
    fn what_is_not_counted_is_absent_from_a_usage() {
        let usage = |input_tokens| Usage {
            input_tokens,
            ..of_totals(&ZERO)
        };
        for (turn, totals, expected) in [
            (Some(3), 7, [Some(3), Some(7)]),
            // After an overflow.
            (Some(3), 0, [Some(3), None]),
            (Some(0), 7, [None, Some(7)]),
            (None, 0, [None, None]),
        ] {
            let mut events = Vec::new();
            let used = Used {
                turn: turn.map(usage),
                totals: usage(totals),
                context_tokens: None,
                context_window: Some(100),
            };
            Translator::new(true).tokens_used(used, &mut events);
            match events.as_slice() {
                [Event::Usage(update)] => {
                    let shown = [update.usage, update.thread_usage]
                        .map(|usage| usage.map(|usage| usage.input_tokens));
                    assert_eq!(shown, expected);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_kind_that_is_not_known_is_noticed_once() {
        let shown = shown(|translator, events| {
            for kind in ["a", "b", "a"] {
                translator.unknown(kind, events);
                let kind = kind.into();
                translator.item(Phase::Completed, Item::Unknown { kind }, events);
            }
        });
        assert_eq!(shown, "?a ?item a ?b ?item b");
    }
}
