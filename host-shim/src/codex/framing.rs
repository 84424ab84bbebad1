//! Bytes become whole lines. This is all that the host knows about what codex prints, and the first thing that a server
//! does with what its client writes.

use memchr::{memchr, memrchr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line that is passed on, in bytes; codex prints a 5 MB answer as one line.
pub const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// How much is kept of a line that is too long.
pub const START_BYTES: usize = 4096;

/// How much is read at a time of a stream that has much to say: what a pipe holds.
const MOST_BYTES: usize = 64 * 1024;

/// How much is read at a time of one that has said little. There is room for this much for as long as it is silent.
const LEAST_BYTES: usize = 1024;

/// Some whole lines, as bytes.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// The lines in order, each ended by a line feed.
    pub bytes: Vec<u8>,
    /// The lines that were too long and were left out, in order.
    pub skipped: Vec<Skipped>,
}

/// A line that was too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where in the bytes of its batch it would begin.
    pub at: usize,
    /// Its length in bytes, without the line feed.
    pub length: u64,
    /// What it begins with, at most [`START_BYTES`].
    pub start: Vec<u8>,
}

impl Skipped {
    /// A line of which this is the first part.
    fn beginning_with(part: &[u8]) -> Self {
        Skipped {
            at: 0,
            length: part.len() as u64,
            start: part.get(..START_BYTES).unwrap_or(part).to_vec(),
        }
    }
}

impl Batch {
    /// Whether this is the end of the stream.
    pub fn is_end(&self) -> bool {
        self.bytes.is_empty() && self.skipped.is_empty()
    }
}

/// Some whole lines, as text.
#[derive(Debug, Default, PartialEq)]
pub struct Lines {
    /// The lines in order, each ended by a line feed; invalid UTF-8 has become U+FFFD.
    pub text: String,
    /// The lengths of lines that were too long and were left out.
    pub skipped: Vec<u64>,
}

impl Lines {
    /// Whether this is the end of the output.
    pub fn is_end(&self) -> bool {
        self.text.is_empty() && self.skipped.is_empty()
    }

    /// Takes whole lines from the front, at most `max_bytes` unless the first is longer.
    pub fn take(&mut self, max_bytes: usize) -> Lines {
        if self.text.len() <= max_bytes {
            return std::mem::take(self);
        }
        let bytes = self.text.as_bytes();
        let within = bytes.get(..max_bytes).unwrap_or_default();
        let end = memrchr(b'\n', within).or_else(|| memchr(b'\n', bytes));
        let rest = self
            .text
            .split_off(end.map_or(self.text.len(), |end| end + 1));
        Lines {
            text: std::mem::replace(&mut self.text, rest),
            skipped: std::mem::take(&mut self.skipped),
        }
    }
}

/// Cuts a stream of bytes at its line feeds, and at nothing else: codex writes U+2028 and
/// its like raw.
#[derive(Debug)]
pub struct Framer<R> {
    reader: R,
    /// Bytes read and not yet handed out.
    buffer: Vec<u8>,
    /// How much to read next.
    room: usize,
    /// How many of them are known to hold no line feed.
    scanned: usize,
    /// An overlong line, as far as it has been discarded.
    skipping: Option<Skipped>,
    /// Overlong lines before what is in the buffer, to be reported with the next batch.
    skipped: Vec<Skipped>,
    ended: bool,
    max_line: usize,
}

impl<R: AsyncRead + Unpin> Framer<R> {
    /// Frames what `reader` gives, with lines of at most `max_line` bytes.
    pub fn new(reader: R, max_line: usize) -> Self {
        Framer {
            reader,
            buffer: Vec::new(),
            room: LEAST_BYTES,
            scanned: 0,
            skipping: None,
            skipped: Vec::new(),
            ended: false,
            max_line,
        }
    }

    /// The next whole lines, as text; otherwise as [`Framer::batch`].
    pub async fn lines(&mut self, max_bytes: usize) -> std::io::Result<Lines> {
        let Batch { bytes, skipped } = self.batch(max_bytes).await?;
        Ok(Lines {
            text: to_text(bytes),
            skipped: skipped.into_iter().map(|line| line.length).collect(),
        })
    }

    /// The next whole lines, at most `max_bytes` unless the first is longer. Waits for one. A
    /// result that [`Batch::is_end`] is the end. May be dropped while it waits; nothing is lost.
    pub async fn batch(&mut self, max_bytes: usize) -> std::io::Result<Batch> {
        loop {
            if let Some(batch) = self.take(max_bytes) {
                return Ok(batch);
            }
            self.buffer.reserve(self.room);
            let read = self.reader.read_buf(&mut self.buffer).await?;
            self.room = (2 * read).clamp(LEAST_BYTES, MOST_BYTES);
            if read == 0 {
                self.end();
            }
        }
    }

    /// Stops reading; what has been read is still handed out.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            if let Some(mut line) = self.skipping.take() {
                line.length += self.buffer.len() as u64;
                self.skipped.push(line);
                self.buffer.clear();
            } else if self.buffer.last().is_some_and(|last| *last != b'\n') {
                self.buffer.push(b'\n');
            }
            self.scanned = self.scanned.min(self.buffer.len());
        }
    }

    /// The whole lines in the buffer, or the end; nothing when more has to be read first.
    fn take(&mut self, max_bytes: usize) -> Option<Batch> {
        self.discard_overlong();
        let unscanned = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(first) = memchr(b'\n', unscanned) else {
            self.scanned = self.buffer.len();
            let reports = !self.skipped.is_empty();
            return (self.ended || reports).then(|| Batch {
                bytes: Vec::new(),
                skipped: std::mem::take(&mut self.skipped),
            });
        };
        let first = self.scanned + first + 1;
        let within = self
            .buffer
            .get(..max_bytes.min(self.buffer.len()))
            .unwrap_or_default();
        let end = memrchr(b'\n', within).map_or(first, |last| first.max(last + 1));
        let rest = self.buffer.split_off(end);
        let taken = std::mem::replace(&mut self.buffer, rest);
        self.scanned = 0;
        Some(self.leave_out_overlong(taken))
    }

    /// Discards an unfinished line as soon as it is too long, so that it takes no memory.
    fn discard_overlong(&mut self) {
        if let Some(mut line) = self.skipping.take() {
            let end = memchr(b'\n', &self.buffer);
            line.length += end.unwrap_or(self.buffer.len()) as u64;
            if let Some(end) = end {
                self.skipped.push(line);
                self.buffer.drain(..=end);
            } else {
                self.skipping = Some(line);
                self.buffer.clear();
            }
            self.scanned = 0;
        } else if self.buffer.len() > self.max_line && memchr(b'\n', &self.buffer).is_none() {
            self.skipping = Some(Skipped::beginning_with(&self.buffer));
            self.buffer.clear();
            self.scanned = 0;
        }
    }

    /// A line may also turn out too long in the read that completes it.
    fn leave_out_overlong(&mut self, taken: Vec<u8>) -> Batch {
        let mut skipped = std::mem::take(&mut self.skipped);
        if taken.len() <= self.max_line {
            return Batch {
                bytes: taken,
                skipped,
            };
        }
        let mut bytes = Vec::with_capacity(taken.len());
        for line in taken.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            if text.len() > self.max_line {
                skipped.push(Skipped {
                    at: bytes.len(),
                    ..Skipped::beginning_with(text)
                });
            } else {
                bytes.extend_from_slice(line);
            }
        }
        Batch { bytes, skipped }
    }
}

fn to_text(bytes: Vec<u8>) -> String {
    // Without a copy in the usual case.
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that comes out when the bytes arrive in these pieces.
    async fn frame(pieces: &[&[u8]], max_bytes: usize, max_line: usize) -> Vec<Lines> {
        let mut stream = tokio_test(pieces);
        let mut framer = Framer::new(&mut stream, max_line);
        let mut batches = Vec::new();
        loop {
            let lines = framer.lines(max_bytes).await.unwrap();
            if lines.is_end() {
                return batches;
            }
            batches.push(lines);
        }
    }

    /// A reader that gives one piece a read.
    fn tokio_test(pieces: &[&[u8]]) -> impl AsyncRead + Unpin {
        struct Pieces(std::collections::VecDeque<Vec<u8>>);
        impl AsyncRead for Pieces {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                buffer: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                if let Some(mut piece) = self.0.pop_front() {
                    let rest = piece.split_off(piece.len().min(buffer.remaining()));
                    buffer.put_slice(&piece);
                    if !rest.is_empty() {
                        self.0.push_front(rest);
                    }
                }
                std::task::Poll::Ready(Ok(()))
            }
        }
        Pieces(pieces.iter().map(|piece| piece.to_vec()).collect())
    }

    fn text(batches: &[Lines]) -> Vec<&str> {
        batches.iter().map(|lines| lines.text.as_str()).collect()
    }

    #[tokio::test]
    async fn lines_come_whole_however_the_bytes_arrive() {
        let bytes = "{\"a\":1}\r\nzwölf\u{2028}\n\nlast".as_bytes();
        for size in 1..=bytes.len() {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let batches = frame(&pieces, 1 << 16, 1 << 16).await;
            assert_eq!(
                text(&batches).concat(),
                "{\"a\":1}\r\nzwölf\u{2028}\n\nlast\n",
                "pieces of {size}"
            );
            assert!(
                batches
                    .iter()
                    .all(|lines| lines.text.ends_with('\n') && lines.skipped.is_empty())
            );
        }
    }

    #[tokio::test]
    async fn a_batch_holds_no_more_than_asked_for_unless_one_line_does() {
        let batches = frame(&[b"aa\nbb\ncccccccc\ndd\n"], 6, 1 << 16).await;
        assert_eq!(text(&batches), ["aa\nbb\n", "cccccccc\n", "dd\n"]);
    }

    #[test]
    fn lines_are_taken_whole_from_the_front() {
        let mut lines = Lines {
            text: "aa\nbb\ncccccccc\ndd\n".into(),
            skipped: vec![7],
        };
        let taken: Vec<Lines> = (0..5).map(|_| lines.take(6)).collect();
        assert_eq!(text(&taken), ["aa\nbb\n", "cccccccc\n", "dd\n", "", ""]);
        assert_eq!(taken[0].skipped, [7]);
        assert!(taken[1].skipped.is_empty() && lines.is_end());
    }

    #[tokio::test]
    async fn overlong_lines_are_left_out_and_reported() {
        let bytes = b"ok\n0123456789\nfine\n012345678901234567890123456789\nend";
        for size in 1..=bytes.len() {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let batches = frame(&pieces, 1 << 16, 8).await;
            assert_eq!(
                text(&batches).concat(),
                "ok\nfine\nend\n",
                "pieces of {size}"
            );
            let skipped: Vec<u64> = batches
                .iter()
                .flat_map(|lines| lines.skipped.clone())
                .collect();
            assert_eq!(skipped, [10, 30], "pieces of {size}");
        }
    }

    #[tokio::test]
    async fn an_overlong_last_line_is_reported_too() {
        let batches = frame(&[b"0123456", b"789"], 1 << 16, 4).await;
        assert_eq!(
            batches,
            [Lines {
                text: String::new(),
                skipped: vec![10]
            }]
        );
    }

    #[tokio::test]
    async fn broken_utf8_costs_its_own_bytes_only() {
        let batches = frame(&[b"a\xffb\nd\xc3", b"\nc\n"], 1 << 16, 1 << 16).await;
        assert_eq!(text(&batches).concat(), "a\u{fffd}b\nd\u{fffd}\nc\n");
    }
}
