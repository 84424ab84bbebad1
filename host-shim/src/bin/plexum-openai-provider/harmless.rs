//! The one way of foreign text to a terminal: what would move the cursor, or change how text reads, is shown as an escape.
//!
//! The model, codex, the service and whoever named a folder may write anything.

use std::borrow::Cow;
use std::io::{self, Write};

/// The text, with its line feeds and tabs.
pub fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, |character| {
        is_control(character) && !matches!(character, '\n' | '\t')
    })
}

/// The text as one line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

/// Standard error, for the log: an entry is one line, whatever is in its fields. Each write is an entry.
pub struct Log;

impl Write for Log {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(entry);
        let line = one_line(text.strip_suffix('\n').unwrap_or(&text));
        // In one piece, as others may write at the same time.
        io::stderr().write_all(format!("{line}\n").as_bytes())?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Whether a terminal would obey this character (C0, DEL and C1), or turn the reading direction of others by it.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn escaped(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unwanted) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if unwanted(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_that_it_would_obey() {
        assert_eq!(harmless("a\tb\nc é 🦀"), "a\tb\nc é 🦀");
        assert_eq!(harmless("\u{1b}[2Jgone\r"), "\\u{1b}[2Jgone\\r");
        assert_eq!(harmless("\u{9b}31m\u{7f}"), "\\u{9b}31m\\u{7f}");
        assert_eq!(
            harmless("abc\u{202e}fed\u{2066}"),
            "abc\\u{202e}fed\\u{2066}"
        );
        assert_eq!(one_line("echo a\necho b"), "echo a\\necho b");
    }
}
