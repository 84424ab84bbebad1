//! Which thread ids the component may store.
//!
//! The next turn may resume what is stored. A component that could store any id could thereby read conversations of
//! other workspaces. So an id is stored only if this workspace's store held it when the turn began, or if codex printed
//! it at the very start of its output, where it names the thread that it opened. Further on the model speaks, and the
//! component chooses what it is asked: it could have it say any id.
//!
//! The host looks for the id as a piece of text; what a line means remains the component's business.

use crate::contract::thread_id::is_uuid;

/// How many lines of codex's output are its opening. Every known version names the thread in the first; the model
/// cannot speak before the third.
const OPENING_LINES: usize = 2;

/// How much of an opening is kept: such a line has less than 100 bytes.
const OPENING_BYTES: usize = 4096;

/// How much of a process's opening is still to come.
#[derive(Debug)]
pub struct Opening {
    lines: usize,
}

impl Default for Opening {
    fn default() -> Self {
        Opening {
            lines: OPENING_LINES,
        }
    }
}

impl Opening {
    /// The part of this output, the next of its process, that belongs to the opening.
    pub fn of<'a>(&mut self, output: &'a str) -> &'a str {
        let mut end = 0;
        for line in output.split_inclusive('\n').take(self.lines) {
            self.lines -= 1;
            end += line.len();
        }
        let end = output.floor_char_boundary(end.min(OPENING_BYTES));
        output.get(..end).unwrap_or_default()
    }
}

/// The thread ids that may be kept in this turn.
#[derive(Debug, Default)]
pub struct KnownThreads {
    /// What the store held when the turn began.
    held: Option<String>,
    /// The openings of all processes.
    openings: String,
}

impl KnownThreads {
    /// At the start of a turn: what the store holds.
    pub fn new(held: Option<String>) -> Self {
        KnownThreads {
            held,
            openings: String::new(),
        }
    }

    /// What the store held when the turn began.
    pub fn held(&self) -> Option<&str> {
        self.held.as_deref()
    }

    /// Takes note of a piece of an opening.
    pub fn hear(&mut self, opening: &str) {
        if !opening.is_empty() {
            self.openings.push_str(opening);
            // A long line is cut: what follows must not complete an id that it ends in the middle of.
            self.openings.push('\n');
        }
    }

    /// Whether this thread id may be kept, and why not.
    pub fn check(&self, thread_id: &str) -> Result<(), &'static str> {
        if !is_uuid(thread_id) {
            Err("only a thread id, which is a UUID, can be kept")
        } else if self.held() == Some(thread_id) || self.openings.contains(thread_id) {
            Ok(())
        } else {
            Err(
                "only the thread that this workspace held, or that codex named at the start of its output, can be kept",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
    const OTHER: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4c";

    #[test]
    fn the_opening_is_the_first_two_lines_however_they_come() {
        let output = format!("{{\"thread_id\":\"{ID}\"}}\n{{}}\n{{\"text\":\"{OTHER}\"}}\n");
        for size in 1..=3 {
            let mut opening = Opening::default();
            let mut known = KnownThreads::default();
            let lines: Vec<&str> = output.split_inclusive('\n').collect();
            for batch in lines.chunks(size) {
                known.hear(opening.of(&batch.concat()));
            }
            assert_eq!(known.check(ID), Ok(()), "{size} lines at a time");
            assert!(known.check(OTHER).is_err(), "{size} lines at a time");
        }
    }

    #[test]
    fn a_long_line_is_no_place_to_hide_an_id_in() {
        let mut known = KnownThreads::default();
        known.hear(Opening::default().of(&format!("{}{ID}\n", "ä".repeat(4096))));
        assert!(known.check(ID).is_err());
    }

    #[test]
    fn two_pieces_do_not_make_an_id() {
        let (head, tail) = ID.split_at(19);
        let mut known = KnownThreads::default();
        let mut opening = Opening::default();
        let cut = format!("{}{head} and more\n", "x".repeat(4096 - head.len()));
        known.hear(opening.of(&cut));
        known.hear(opening.of(&format!("{tail}\n")));
        assert!(known.check(ID).is_err());
    }

    #[test]
    fn what_the_store_held_may_be_kept_if_it_is_an_id() {
        assert_eq!(KnownThreads::new(Some(ID.into())).check(ID), Ok(()));
        for held in ["--last", "", "../../x", &ID.repeat(2), &format!("{ID}\n")] {
            assert!(
                KnownThreads::new(Some(held.into())).check(held).is_err(),
                "{held}"
            );
        }
    }
}
