//! Bytes become lines, each of which should be a message.

use std::io;
use std::mem;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line that is read, in bytes. Images come in base64, and one may have 20 MiB.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// How much is read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// One line, without its line feed.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// Text.
    Text(String),
    /// Something that is not UTF-8. Nothing in it is replaced: a prompt would be changed by that.
    NotUtf8,
    /// One that was too long, and was discarded as it came.
    TooLong {
        /// How long it was.
        bytes: u64,
    },
}

/// Cuts what it reads at line feeds, and passes over blank lines.
pub struct LineReader<R> {
    reader: BufReader<R>,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    /// How much of a line that is too long has been discarded.
    thrown_away: u64,
    max_bytes: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of at most `max_bytes` bytes.
    pub fn new(reader: R, max_bytes: usize) -> Self {
        LineReader {
            reader: BufReader::with_capacity(CHUNK_BYTES, reader),
            line: Vec::new(),
            thrown_away: 0,
            max_bytes,
        }
    }

    /// The next line; `None` at the end. A last line needs no line feed. May be dropped while it
    /// waits; nothing is lost.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            let at_end = chunk.is_empty();
            let line_feed = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..line_feed.unwrap_or(chunk.len()));
            let part = part.unwrap_or_default();
            if self.thrown_away > 0 || self.line.len() + part.len() > self.max_bytes {
                let line = mem::take(&mut self.line);
                self.thrown_away += (line.len() + part.len()) as u64;
            } else {
                self.line.extend_from_slice(part);
            }
            let read = part.len() + usize::from(line_feed.is_some());
            self.reader.consume(read);
            if line_feed.is_some() || at_end {
                match self.finished() {
                    Some(line) => return Ok(Some(line)),
                    None if at_end => return Ok(None),
                    None => {}
                }
            }
        }
    }

    /// The line that has been read, unless it is blank.
    fn finished(&mut self) -> Option<Line> {
        let bytes = mem::take(&mut self.thrown_away);
        if bytes > 0 {
            return Some(Line::TooLong { bytes });
        }
        let line = mem::take(&mut self.line);
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        Some(String::from_utf8(line).map_or(Line::NotUtf8, Line::Text))
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
            let found = lines(bytes, piece, 8).await;
            assert_eq!(
                found,
                [
                    text("12345678"),
                    Line::TooLong { bytes: 9 },
                    text("ok"),
                    Line::TooLong { bytes: 30 },
                    text("ok"),
                    Line::TooLong { bytes: 9 },
                ],
                "pieces of {piece}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_utf8_costs_only_its_line() {
        let found = lines(b"a\xffb\nok\n\xc3", 64, 100).await;
        assert_eq!(found, [Line::NotUtf8, text("ok"), Line::NotUtf8]);
    }
}
