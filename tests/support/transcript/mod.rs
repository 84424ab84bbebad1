//! Transcripts: what the real codex printed, case by case, kept as files so that tests can replay
//! it where no real codex is installed.
//!
//! `tests/transcripts/<version>/<case>/` holds what one run left: `about.txt` (what it shows),
//! `stdout.jsonl`, `stderr.txt`, `exit.txt`, and for a resumed thread `session.txt` (its id) and
//! `usage.json` (its totals before the turn). `record-transcripts` writes these from [`cases`].
//! The canonical events that they translate to are in `events.jsonl` beside them; that one is
//! written by `BLESS=1 cargo test --workspace --test transcripts`.

mod case;
mod completed;
mod dialogue;
mod difference;
mod exit;
mod failed;
mod plain;
mod recording;

use std::path::PathBuf;

pub use self::case::{Before, Case, Flags, Home, Prompt};
pub use self::dialogue::{Dialogue, Said};
pub use self::difference::difference;
pub use self::exit::Exit;
pub use self::plain::Plain;
pub use self::recording::{Recording, recordings};

/// The folder of all transcripts in the source tree.
#[must_use]
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts"))
}

/// Every case, those that complete before those that fail.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    completed::CASES.iter().chain(failed::CASES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own_that_can_name_a_folder() {
        let mut names: Vec<_> = cases().map(|case| case.name).collect();
        for name in &names {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(plain), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), cases().count());
    }
}
