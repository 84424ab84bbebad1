//! Lines, each of which should be a message.

use std::collections::VecDeque;
use std::io;

use memchr::memchr;
use plexum_openai_provider::framing::{Framer, START_BYTES, Skipped};
use tokio::io::AsyncRead;

/// The longest line that is read, in bytes. Images come in base64, and one may have 20 MiB.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// How much is taken at a time.
const BATCH_BYTES: usize = 64 * 1024;

/// One line, without its line feed.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// Text.
    Text(String),
    /// Something that is not UTF-8. Nothing in it is replaced: a prompt would be changed by that.
    NotUtf8 {
        /// What it begins with, as far as that is text.
        start: String,
    },
    /// One that was too long, and was discarded as it came.
    TooLong {
        /// How long it was.
        bytes: u64,
        /// What it begins with, as far as that is text.
        start: String,
    },
}

/// The text at the start of these bytes.
fn start(bytes: &[u8]) -> String {
    let bytes = bytes.get(..START_BYTES).unwrap_or(bytes);
    let text = bytes.utf8_chunks().next().map(|chunk| chunk.valid());
    text.unwrap_or_default().to_owned()
}

/// Reads one line after the other, and passes over blank ones.
pub struct LineReader<R> {
    framer: Framer<R>,
    /// Lines that have been read, each ended by a line feed.
    bytes: Vec<u8>,
    /// How many of these bytes have been handed out.
    taken: usize,
    /// The lines that were too long, with their places among these bytes.
    skipped: VecDeque<Skipped>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of at most `max_bytes` bytes.
    pub fn new(reader: R, max_bytes: usize) -> Self {
        LineReader {
            framer: Framer::new(reader, max_bytes),
            bytes: Vec::new(),
            taken: 0,
            skipped: VecDeque::new(),
        }
    }

    /// The next line; `None` at the end. A last line needs no line feed. May be dropped while it
    /// waits; nothing is lost.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            let batch = self.framer.batch(BATCH_BYTES).await?;
            if batch.is_end() {
                return Ok(None);
            }
            self.bytes = batch.bytes;
            self.taken = 0;
            self.skipped = batch.skipped.into();
        }
    }

    /// The next line of those that have been read, unless they are blank.
    fn take(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.skipped.pop_front_if(|line| line.at <= self.taken) {
                return Some(Line::TooLong {
                    bytes: line.length,
                    start: start(&line.start),
                });
            }
            let rest = self.bytes.get(self.taken..)?;
            let line = rest.get(..memchr(b'\n', rest)?)?;
            self.taken += line.len() + 1;
            if !line.iter().all(u8::is_ascii_whitespace) {
                let text = String::from_utf8(line.to_vec());
                return Some(
                    text.map_or_else(|_| Line::NotUtf8 { start: start(line) }, Line::Text),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `bytes` when they are read in pieces of this size.
    async fn lines(bytes: &[u8], piece: usize, max_bytes: usize) -> Vec<Line> {
        let (mut writer, reader) = tokio::io::duplex(piece);
        let bytes = bytes.to_owned();
        tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes)
                .await
                .unwrap();
        });
        let mut lines = LineReader::new(reader, max_bytes);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        found
    }

    fn text(text: &str) -> Line {
        Line::Text(text.into())
    }

    /// The line that was too long, without as much of it as happened to be read.
    fn without_start(line: Line) -> Line {
        match line {
            Line::TooLong { bytes, start } => {
                assert!(start.len() > 8, "{start:?}");
                assert!(
                    "123456789012345678901234567890".starts_with(&start),
                    "{start:?}"
                );
                too_long(bytes)
            }
            line => line,
        }
    }

    fn too_long(bytes: u64) -> Line {
        let start = String::new();
        Line::TooLong { bytes, start }
    }

    #[tokio::test]
    async fn lines_come_whole_however_the_bytes_arrive() {
        let bytes = "{\"a\":1}\r\n\n \t\r\nzwölf\u{2028}\nlast".as_bytes();
        for piece in 1..=bytes.len() {
            let found = lines(bytes, piece, 100).await;
            assert_eq!(
                found,
                [text("{\"a\":1}\r"), text("zwölf\u{2028}"), text("last")],
                "pieces of {piece}"
            );
        }
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_only_itself() {
        let bytes = b"12345678\n123456789\nok\n123456789012345678901234567890\nok\n123456789";
        for piece in 1..=bytes.len() {
            let found = lines(bytes, piece, 8).await.into_iter();
            let found: Vec<_> = found.map(without_start).collect();
            assert_eq!(
                found,
                [
                    text("12345678"),
                    too_long(9),
                    text("ok"),
                    too_long(30),
                    text("ok"),
                    too_long(9),
                ],
                "pieces of {piece}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_utf8_costs_only_its_line() {
        let not_utf8 = |start: &str| Line::NotUtf8 {
            start: start.to_owned(),
        };
        let found = lines(b"a\xffb\nok\n\xc3", 64, 100).await;
        assert_eq!(found, [not_utf8("a"), text("ok"), not_utf8("")]);
    }
}
