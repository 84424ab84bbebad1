//! Which thread ids the component may store.
//!
//! The next turn may resume what is stored. A component that could store any id could thereby read conversations of
//! other workspaces. So an id is stored only if this workspace's store held it when the turn began, or if codex printed
//! it where it names the thread that it opened: in the first line with the words `thread.started`, before the one with
//! `turn.started`. Before that line may stand what others print: a shell's banner, a warning. After it the model speaks,
//! and the component chooses what it is asked: it could have it say any id.
//!
//! The host looks for the id as a piece of text; what a line means remains the component's business.

use crate::contract::thread_id::is_uuid;

/// How much of the line that names the thread is kept: it has less than 100 bytes.
const OPENING_BYTES: usize = 4096;

/// How many bytes may come before that line. More is not codex's.
const MOST_BEFORE: usize = 1024 * 1024;

/// Whether the line that names the thread is still to come in a process's output.
#[derive(Debug)]
pub struct Opening {
    /// How many bytes may still come before it.
    before: usize,
}

impl Default for Opening {
    fn default() -> Self {
        Opening {
            before: MOST_BEFORE,
        }
    }
}

impl Opening {
    /// The line of this output, the next of its process, that names the thread; empty if it is not in there.
    pub fn of<'a>(&mut self, output: &'a str) -> &'a str {
        if self.before == 0 {
            return "";
        }
        for line in output.split_inclusive('\n') {
            let names = line.contains("thread.started");
            if names || line.contains("turn.started") {
                self.before = 0;
                let end = line.floor_char_boundary(line.len().min(OPENING_BYTES));
                return line.get(..end).filter(|_| names).unwrap_or_default();
            }
            self.before = self.before.saturating_sub(line.len());
        }
        ""
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

    /// A codex that stays has opened this thread, as its answer to the host's own request says.
    pub fn opened(&mut self, thread_id: &str) {
        self.hear(thread_id);
    }

    /// Whether this thread id may be kept, and why not.
    pub fn check(&self, thread_id: &str) -> Result<(), &'static str> {
        if !is_uuid(thread_id) {
            Err("only a thread id, which is a UUID, can be kept")
        } else if self.held() == Some(thread_id) || self.openings.contains(thread_id) {
            Ok(())
        } else {
            Err(
                "only the thread that this workspace held, or that codex named when it opened it, can be kept",
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
    fn the_opening_is_the_line_that_names_the_thread_however_much_is_before_it() {
        let named = format!("{{\"type\":\"thread.started\",\"thread_id\":\"{ID}\"}}\n");
        let said = format!("{{\"text\":\"{OTHER}\"}}\n");
        for noise in [0, 1, 2, 3, 100] {
            let output = format!("{}{named}{said}{said}", said.repeat(noise));
            let lines: Vec<&str> = output.split_inclusive('\n').collect();
            for size in [1, 2, 3, lines.len()] {
                let mut opening = Opening::default();
                let mut known = KnownThreads::default();
                for batch in lines.chunks(size) {
                    known.hear(opening.of(&batch.concat()));
                }
                assert_eq!(known.check(ID), Ok(()), "{noise} lines before");
                assert!(known.check(OTHER).is_err(), "{noise} lines before");
            }
        }
    }

    #[test]
    fn once_the_turn_has_begun_no_line_names_a_thread() {
        let named = format!("{{\"type\":\"thread.started\",\"thread_id\":\"{ID}\"}}\n");
        for before in ["{\"type\":\"turn.started\"}\n", &"x\n".repeat(MOST_BEFORE)] {
            let mut known = KnownThreads::default();
            let mut opening = Opening::default();
            known.hear(opening.of(before));
            known.hear(opening.of(&named));
            assert!(known.check(ID).is_err());
        }
    }

    #[test]
    fn a_long_line_is_no_place_to_hide_an_id_in() {
        let mut known = KnownThreads::default();
        known.hear(Opening::default().of(&format!("thread.started{}{ID}\n", "ä".repeat(4096))));
        assert!(known.check(ID).is_err());
    }

    #[test]
    fn two_pieces_do_not_make_an_id() {
        let (head, tail) = ID.split_at(19);
        let mut known = KnownThreads::default();
        let mut opening = Opening::default();
        let cut = format!(
            "thread.started{}{head} and more\n",
            "x".repeat(4096 - 14 - head.len())
        );
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
