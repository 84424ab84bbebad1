//! Blocks of text, of the answer or of the reasoning.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// Blocks of text, each reported once.
#[derive(Debug, Default)]
pub struct Blocks {
    /// How many there were.
    count: u32,
    /// Those that codex may repeat.
    said: Vec<String>,
    /// How many bytes those have.
    said_bytes: usize,
}

/// How much text is kept to recognise a repetition. If codex prints more than this between two tools and then loses its
/// connection, the rest of it is reported twice; without a bound it could fill the memory.
const MAX_SAID_BYTES: usize = 8 * 1024 * 1024;

impl Blocks {
    /// The index of a new block; nothing for an empty one, or after a reconnect for one that was said before:
    /// codex prints the output of the attempt that it gave up as well.
    pub fn index_of_new(&mut self, text: &str, reconnected: bool) -> Option<u32> {
        if text.is_empty() || (reconnected && self.said.iter().any(|said| said == text)) {
            return None;
        }
        let said_bytes = self.said_bytes.saturating_add(text.len());
        if said_bytes <= MAX_SAID_BYTES {
            self.said.push(text.to_owned());
            self.said_bytes = said_bytes;
        }
        let index = self.count;
        self.count = self.count.saturating_add(1);
        Some(index)
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Codex repeats nothing from before this.
    pub fn forget_said(&mut self) {
        self.said.clear();
        self.said_bytes = 0;
    }
}
