//! What codex's standard error says, most of which is noise.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::failure::LastWords;
use crate::transport::text::BACKTRACE;

/// What codex said last on standard error: from its last line that begins with `Error` on, without the backtrace; or,
/// if there is none, everything that is not noise.
pub fn last_words(stderr: &str) -> LastWords {
    let stderr = plain(stderr);
    let stderr = stderr.split(BACKTRACE).next().unwrap_or_default();
    let lines: Vec<&str> = stderr.lines().filter(|line| !is_noise(line)).collect();
    let error = lines
        .iter()
        .rposition(|line| line.starts_with("Error") || line.starts_with("error: "));
    let words = lines.get(error.unwrap_or(0)..).unwrap_or_default();
    // An uncaught error of Node.js, which runs npm's script, has its stack behind it.
    let stack = words.iter().position(|line| line.starts_with("    at "));
    let words = match (error, stack) {
        (Some(_), Some(stack)) => words.get(..stack).unwrap_or_default(),
        _ => words,
    };
    let words = words.join("\n").trim().to_string();
    LastWords {
        words,
        is_error: error.is_some(),
    }
}

/// The text without what only a terminal shows: colours (`ESC [ … m`) and other control sequences of that form. A log that
/// codex colours would not be known as one.
fn plain(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "\u{1b}[";
    let mut parts = text.split(BEGIN);
    let first = parts.next().unwrap_or_default();
    if first.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::from(first);
    for part in parts {
        // Numbers, and a letter that says what they mean.
        let is_of_sequence = |character: char| matches!(character, '0'..='?' | ' '..='/');
        let end = part.trim_start_matches(is_of_sequence);
        let mut rest = end.chars();
        match rest.next() {
            Some('@'..='~') => plain.push_str(rest.as_str()),
            // It breaks off.
            _ => plain.push_str(end),
        }
    }
    Cow::Owned(plain)
}

/// What codex writes to standard error in turns that go well: hints, and a log whose lines
/// begin with the time and are often called `ERROR`.
fn is_noise(line: &str) -> bool {
    let mut start = line.bytes();
    let has_time = b"0000-00-00T00:".iter().all(|shape| {
        start.next().is_some_and(|byte| {
            if *shape == b'0' {
                byte.is_ascii_digit()
            } else {
                byte == *shape
            }
        })
    });
    has_time
        || line.starts_with("Reading additional input from stdin")
        || line.starts_with("WARNING: proceeding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_counts_without_its_backtrace() {
        let last = last_words(
            "WARN noise\nError: the first\nError: thread x is archived\n\nStack backtrace:\n 0: <unknown>",
        );
        assert_eq!(
            (&*last.words, last.is_error),
            ("Error: thread x is archived", true)
        );
    }

    #[test]
    fn an_uncaught_error_of_node_counts_without_its_stack() {
        let last = last_words(
            "file:///a/codex.js:108\n    throw new Error(\n          ^\n\nError: Missing optional dependency @openai/codex-linux-x64. Reinstall Codex\n    at file:///a/codex.js:108:11\n    at run (node:internal)\n\nNode.js v22.1.0\n",
        );
        assert_eq!(
            last.words,
            "Error: Missing optional dependency @openai/codex-linux-x64. Reinstall Codex"
        );
    }

    #[test]
    fn what_is_coloured_is_read_as_what_is_not() {
        let log = "\u{1b}[2m2026-11-22T18:00:00.1Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m \u{1b}[2mcodex_core\u{1b}[0m: 429 Too Many Requests\n";
        for (stderr, words, is_error) in [
            (log, "", false),
            (
                "\u{1b}[1;31mError\u{1b}[0m: no\u{1b}[?25h\u{1b}[K",
                "Error: no",
                true,
            ),
            // It breaks off, or is none.
            ("boom\u{1b}[3", "boom", false),
            ("boom\u{1b}[3\u{fc}", "boom\u{fc}", false),
            ("\u{1b}boom", "\u{1b}boom", false),
        ] {
            let last = last_words(stderr);
            assert_eq!(
                (&*last.words, last.is_error),
                (words, is_error),
                "{stderr:?}"
            );
        }
    }

    #[test]
    fn without_an_error_everything_but_the_noise_counts() {
        let noise = "Reading additional input from stdin...\n2026-11-22T18:00:00.1Z ERROR codex_core: 429 Too Many Requests, timed out\n";
        for (stderr, words) in [(noise, ""), (&*alloc::format!("{noise}boom\n"), "boom")] {
            let last = last_words(stderr);
            assert_eq!((&*last.words, last.is_error), (words, false));
        }
    }
}
