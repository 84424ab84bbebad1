//! What codex's standard error says, most of which is noise.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::failure::LastWords;

/// What codex said last on standard error: from its last line that begins with `Error` on, without the backtrace; or,
/// if there is none, everything that is not noise.
pub fn last_words(stderr: &str) -> LastWords {
    let stderr = stderr.split(BACKTRACE).next().unwrap_or(stderr);
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

/// Where codex begins to print a backtrace, after an error.
pub const BACKTRACE: &str = "\nStack backtrace:";

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
    fn without_an_error_everything_but_the_noise_counts() {
        let noise = "Reading additional input from stdin...\n2026-11-22T18:00:00.1Z ERROR codex_core: 429 Too Many Requests, timed out\n";
        for (stderr, words) in [(noise, ""), (&*alloc::format!("{noise}boom\n"), "boom")] {
            let last = last_words(stderr);
            assert_eq!((&*last.words, last.is_error), (words, false));
        }
    }
}
