//! Writes a message so that every reader sees it as one line.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// What some libraries take for the end of a line, and what JSON does not escape: Node.js's `readline` cuts
/// at the first two, Python's `splitlines` at all of them. Codex prints them as they are.
const SEPARATORS: [char; 3] = ['\u{2028}', '\u{2029}', '\u{85}'];

/// Appends a value as one line of JSON, with its line feed.
pub fn write_line(value: &impl Serialize, lines: &mut Vec<u8>) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *lines, OneLine))?;
    lines.push(b'\n');
    Ok(())
}

struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for piece in fragment.split_inclusive(SEPARATORS) {
            match piece.char_indices().next_back() {
                Some((end, last)) if SEPARATORS.contains(&last) => {
                    let text = piece.get(..end).unwrap_or_default();
                    write!(writer, "{text}\\u{:04x}", u32::from(last))?;
                }
                _ => writer.write_all(piece.as_bytes())?,
            }
        }
        Ok(())
    }

    /// JSON that is passed on as it was written, such as a tool's input: it has these characters in its strings only.
    fn write_raw_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.write_string_fragment(writer, fragment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_line_is_escaped_and_means_the_same() {
        let text = "\u{2028}a\n\r\u{85}\u{85}ö\u{2029}\u{1}\u{c}e\u{301}\"\\";
        let mut line = Vec::new();
        write_line(&[text, "", "\u{2028}"], &mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            "[\"\\u2028a\\n\\r\\u0085\\u0085ö\\u2029\\u0001\\fe\u{301}\\\"\\\\\",\"\",\"\\u2028\"]\n"
        );
        let back: Vec<String> = serde_json::from_str(&line).unwrap();
        assert_eq!(back, [text, "", "\u{2028}"]);
    }
}
