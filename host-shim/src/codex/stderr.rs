//! Codex's standard error, the end of which is kept.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of standard error is kept, from its end.
pub const STDERR_BYTES: usize = 64 * 1024;

/// How much is read at a time. Small, because this much is held for as long as codex runs, however quiet it is.
const CHUNK_BYTES: usize = 1024;

/// Reads standard error, so that codex never waits for room in the pipe.
pub struct Stderr {
    /// `None` once it has ended or was closed.
    pipe: Option<Box<dyn AsyncRead + Send + Unpin>>,
    chunk: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Stderr {
    /// Reads this pipe.
    pub fn new(pipe: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        Stderr {
            pipe: Some(pipe),
            chunk: vec![0; CHUNK_BYTES],
            tail: VecDeque::new(),
        }
    }

    /// Whether there is more to read.
    pub fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads the next piece. May be dropped while it waits; nothing is lost.
    pub async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut self.chunk).await {
            Ok(0) => self.pipe = None,
            Ok(read) => {
                self.tail.extend(self.chunk.get(..read).unwrap_or_default());
                let surplus = self.tail.len().saturating_sub(STDERR_BYTES);
                self.tail.drain(..surplus);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!(%error, "codex's standard error cannot be read");
                self.pipe = None;
            }
        }
    }

    /// Forgets what was read.
    pub fn clear(&mut self) {
        self.tail.clear();
    }

    /// Stops reading.
    pub fn close(&mut self) {
        self.pipe = None;
    }

    /// The end of what was read; invalid UTF-8 becomes U+FFFD.
    pub fn tail(&mut self) -> String {
        String::from_utf8_lossy(self.tail.make_contiguous()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_is_kept() {
        let text = "a".repeat(STDERR_BYTES) + "the end";
        let mut stderr = Stderr::new(Box::new(io::Cursor::new(text.clone().into_bytes())));
        while stderr.is_open() {
            stderr.read().await;
        }
        assert_eq!(stderr.tail(), text[7..]);
    }
}
