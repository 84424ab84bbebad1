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

use crate::bindings::turns::{Delta, Event, ModelChange, NoticeKind, Reconnection, Usage};
use crate::notice::notice;
use crate::transport::{Item, Phase, Retry, Tool};

use blocks::Blocks;
use plan::Plan;
use tool::Tools;

/// What codex reported of the end of the turn.
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

    /// The turn failed.
    pub fn turn_failed(&mut self, message: String) {
        // An error with the same words came before; it is reported once, as the failure.
        let message = match self.pending_error.take() {
            Some(error) if message.is_empty() => error.message,
            _ => message,
        };
        self.finish(Outcome::Failed { message });
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

    /// An item started, changed or ended.
    pub fn item<T: Tool>(&mut self, phase: Phase, item: Item<'_, T>, events: &mut Vec<Event>) {
        self.settle_pending_error(events);
        self.began = true;
        match item {
            // Only a completed one is known to be whole.
            Item::Message { text } if phase == Phase::Completed => {
                if let Some(index) = self.texts.index_of_new(&text, self.reconnected) {
                    let text = text.into_owned();
                    events.push(Event::TextDelta(Delta { index, text }));
                }
            }
            Item::Reasoning { text } if phase == Phase::Completed => {
                if let Some(index) = self.thoughts.index_of_new(&text, self.reconnected) {
                    let text = text.into_owned();
                    events.push(Event::ThinkingDelta(Delta { index, text }));
                }
            }
            Item::Message { .. } | Item::Reasoning { .. } => {}
            Item::Plan { steps } => self.plan.show(steps, events),
            Item::Tool(tool) => {
                self.forget_said();
                self.tools.report(phase, tool, events);
            }
            Item::Unknown { kind } => self.unknown(&format!("item {kind}"), events),
        }
    }

    /// The model has gone on, so codex repeats nothing from before this.
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
    use crate::transport::exec::tool::ToolItem;
    use crate::transport::{Said, exec};

    type AnyItem<'a> = Item<'a, ToolItem<'a>>;

    const FIRST: Reconnection = Reconnection {
        attempt: Some(1),
        attempts: Some(5),
    };
    const UNNUMBERED: Reconnection = Reconnection {
        attempt: None,
        attempts: None,
    };
    const AGAIN: Retry = Retry::Request(FIRST);

    fn complete(translator: &mut Translator, item: AnyItem<'_>) -> usize {
        let mut events = Vec::new();
        translator.item(Phase::Completed, item, &mut events);
        events.len()
    }

    #[test]
    fn what_a_reconnect_repeats_is_reported_once_and_what_the_model_repeats_is_reported_again() {
        let message = |text: &'static str| AnyItem::Message { text: text.into() };
        let reasoning = |text: &'static str| AnyItem::Reasoning { text: text.into() };
        for said in [message, reasoning] {
            let mut translator = Translator::default();
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
            let mut translator = Translator::default();
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
}
