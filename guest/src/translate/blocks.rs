//! Blocks of text, of the answer or of the reasoning.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use crate::bindings::turns::{BlockEnd, BlockKind, BlockOutcome, Delta, Event};

/// Blocks of text, each reported once: in one piece, or piece by piece as it is written.
#[derive(Debug)]
pub struct Blocks {
    kind: BlockKind,
    /// Whether they come piece by piece, so that each says when it ends, also one that came in one piece.
    streams: bool,
    /// How many there were.
    count: u32,
    /// Those that are being written, by the item that will hold them.
    open: BTreeMap<String, Open>,
    /// Those that codex may repeat.
    said: Vec<String>,
    /// How many bytes those have.
    said_bytes: usize,
}

/// A block that is being written.
#[derive(Debug, Default)]
struct Open {
    /// Its index; nothing while it may be the repetition of another one, which is not shown.
    index: Option<u32>,
    /// How many bytes of it have been written.
    length: usize,
    /// The first of those, to see whether they are in the whole as well.
    text: String,
}

/// How much text is kept to recognise a repetition. If codex prints more than this between two tools and then loses its
/// connection, the rest of it is reported twice; without a bound it could fill the memory.
const MAX_SAID_BYTES: usize = 8 * 1024 * 1024;

impl Blocks {
    /// Blocks of this kind. `streams` is whether the transport gives them piece by piece.
    pub fn new(kind: BlockKind, streams: bool) -> Self {
        Blocks {
            kind,
            streams,
            count: 0,
            open: BTreeMap::new(),
            said: Vec::new(),
            said_bytes: 0,
        }
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A piece of the block that this item will hold.
    pub fn piece(
        &mut self,
        item_id: &str,
        text: String,
        reconnected: bool,
        events: &mut Vec<Event>,
    ) {
        if text.is_empty() {
            return;
        }
        let open = match self.open.get_mut(item_id) {
            Some(open) => open,
            None => self.open.entry(item_id.to_owned()).or_default(),
        };
        open.length = open.length.saturating_add(text.len());
        if open.length <= MAX_SAID_BYTES {
            open.text.push_str(&text);
        }
        match open.index {
            Some(index) => events.push(delta(self.kind, index, text)),
            None if reconnected && self.said.iter().any(|said| said.starts_with(&open.text)) => {}
            None => {
                let index = next(&mut self.count);
                open.index = Some(index);
                events.push(delta(self.kind, index, open.text.clone()));
            }
        }
    }

    /// A whole block. Nothing of an empty one is shown, or after a reconnect of one that was said before: codex prints the
    /// output of the attempt that it gave up as well.
    pub fn complete(
        &mut self,
        item_id: &str,
        text: String,
        reconnected: bool,
        events: &mut Vec<Event>,
    ) {
        match self.open.remove(item_id) {
            Some(Open {
                index: Some(index),
                length,
                text: written,
            }) => {
                self.remember(&text);
                match text.get(length..).filter(|_| text.starts_with(&written)) {
                    Some(rest) => {
                        if !rest.is_empty() {
                            events.push(delta(self.kind, index, rest.to_owned()));
                        }
                        events.push(self.end(index, BlockOutcome::Complete));
                    }
                    // What was written is not what codex stands by.
                    None => {
                        events.push(self.end(index, BlockOutcome::GivenUp));
                        self.whole(text, events);
                    }
                }
            }
            _ => {
                if reconnected && self.said.contains(&text) {
                    return;
                }
                self.remember(&text);
                self.whole(text, events);
            }
        }
    }

    /// Shows a block in one piece.
    fn whole(&mut self, text: String, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let index = next(&mut self.count);
        events.push(delta(self.kind, index, text));
        if self.streams {
            events.push(self.end(index, BlockOutcome::Complete));
        }
    }

    /// Codex begins again what it was writing.
    pub fn give_up(&mut self, events: &mut Vec<Event>) {
        let mut indexes: Vec<u32> = mem::take(&mut self.open)
            .into_values()
            .filter_map(|open| open.index)
            .collect();
        indexes.sort_unstable();
        let given_up = indexes.into_iter();
        events.extend(given_up.map(|index| self.end(index, BlockOutcome::GivenUp)));
    }

    /// Codex repeats nothing from before this.
    pub fn forget_said(&mut self) {
        self.said.clear();
        self.said_bytes = 0;
    }

    fn remember(&mut self, text: &str) {
        let said_bytes = self.said_bytes.saturating_add(text.len());
        if !text.is_empty() && said_bytes <= MAX_SAID_BYTES {
            self.said.push(text.to_owned());
            self.said_bytes = said_bytes;
        }
    }

    fn end(&self, index: u32, outcome: BlockOutcome) -> Event {
        let kind = self.kind;
        Event::BlockEnd(BlockEnd {
            kind,
            index,
            outcome,
        })
    }
}

/// The index of another block, after so many.
fn next(count: &mut u32) -> u32 {
    let index = *count;
    *count = count.saturating_add(1);
    index
}

fn delta(kind: BlockKind, index: u32, text: String) -> Event {
    let delta = Delta { index, text };
    match kind {
        BlockKind::Text => Event::TextDelta(delta),
        BlockKind::Thinking => Event::ThinkingDelta(delta),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    /// What is reported, in short: `0:text`, `0!` for the end of a block, `0x` for one that was given up.
    fn shown(events: &[Event]) -> String {
        let one = |event: &Event| match event {
            Event::TextDelta(delta) => format!("{}:{}", delta.index, delta.text),
            Event::BlockEnd(end) => match end.outcome {
                BlockOutcome::Complete => format!("{}!", end.index),
                BlockOutcome::GivenUp => format!("{}x", end.index),
            },
            other => panic!("{other:?}"),
        };
        events.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Plays pieces (`+id text`), whole blocks (`=id text`) and broken connections (`!`).
    fn played(script: &[&str]) -> String {
        played_by(Blocks::new(BlockKind::Text, true), script)
    }

    fn played_by(mut blocks: Blocks, script: &[&str]) -> String {
        let mut events = Vec::new();
        let mut reconnected = false;
        for step in script {
            let (id, text) = step.split_once(' ').unwrap_or((step, ""));
            match id.split_at(1) {
                ("+", id) => blocks.piece(id, text.into(), reconnected, &mut events),
                ("=", id) => blocks.complete(id, text.into(), reconnected, &mut events),
                _ => {
                    blocks.give_up(&mut events);
                    reconnected = true;
                }
            }
        }
        shown(&events)
    }

    #[test]
    fn pieces_come_at_once_and_the_whole_decides() {
        for (script, expected) in [
            (&["+a he", "+a llo", "=a hello"][..], "0:he 0:llo 0!"),
            // Some of it came only in the whole.
            (&["+a he", "=a hello"], "0:he 0:llo 0!"),
            (&["=a hello"], "0:hello 0!"),
            (&["+a he", "=a other"], "0:he 0x 1:other 1!"),
            (&["+a he", "=a"], "0:he 0x"),
            (&["+a hello", "=a he"], "0:hello 0x 1:he 1!"),
            (&["+a ü", "=a u"], "0:ü 0x 1:u 1!"),
            (&["+a", "=a"], ""),
            // Two at once.
            (
                &["+a 1", "+b 2", "+a 3", "=a 13", "=b 2"],
                "0:1 1:2 0:3 0! 1!",
            ),
        ] {
            assert_eq!(played(script), expected, "{script:?}");
        }
    }

    #[test]
    fn where_blocks_come_whole_none_says_that_it_ends() {
        let blocks = Blocks::new(BlockKind::Text, false);
        assert_eq!(played_by(blocks, &["=a hello", "=b you"]), "0:hello 1:you");
    }

    #[test]
    fn what_was_being_written_when_the_connection_broke_is_given_up() {
        assert_eq!(
            played(&["+a that is cu", "!", "+b Recov", "+b ered", "=b Recovered"]),
            "0:that is cu 0x 1:Recov 1:ered 1!"
        );
    }

    #[test]
    fn what_codex_repeats_after_that_is_shown_once() {
        for (script, expected) in [
            (
                &["+a done", "=a done", "!", "+b do", "+b ne", "=b done"][..],
                "0:done 0!",
            ),
            (
                &["+a done", "=a done", "!", "+b do", "+b pe", "=b dope"],
                "0:done 0! 1:dope 1!",
            ),
            // A beginning of it, as a whole.
            (
                &["+a done", "=a done", "!", "+b do", "=b do"],
                "0:done 0! 1:do 1!",
            ),
            // It was shown when nothing had broken yet, so the model says it twice.
            (
                &["+a done", "=a done", "+b done", "=b done"],
                "0:done 0! 1:done 1!",
            ),
        ] {
            assert_eq!(played(script), expected, "{script:?}");
        }
    }
}
