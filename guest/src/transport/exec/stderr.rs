//! What there is to learn from codex's standard error, most of which is noise.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What codex said last on standard error: from its last line that begins with `Error` on, without
/// the backtrace; or, where there is none, all that is not noise.
pub fn last_words(stderr: &str) -> LastWords {
    let stderr = stderr.split(BACKTRACE).next().unwrap_or(stderr);
    let lines: Vec<&str> = stderr.lines().filter(|line| !is_noise(line)).collect();
    let error = lines
        .iter()
        .rposition(|line| line.starts_with("Error") || line.starts_with("error: "));
    let words = lines
        .get(error.unwrap_or(0)..)
        .unwrap_or_default()
        .join("\n")
        .trim()
        .to_string();
    LastWords {
        words,
        is_error: error.is_some(),
    }
}

/// See [`last_words`].
pub struct LastWords {
    /// The text; empty when there is nothing but noise.
    pub words: String,
    /// Whether codex itself calls it an error.
    pub is_error: bool,
}

/// Where codex begins to print a backtrace, behind an error.
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
