//! Words as `execve` takes them.

use std::ffi::c_char;
use std::{io, ptr};

/// Words one after the other, each ended by a NUL: in one piece, because a supervisor is small, and there is one for each
/// turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<u8>);

impl Words {
    /// Adds a word that is made of these parts.
    ///
    /// # Errors
    /// That of `std` if one of them has a NUL, which no program can be given ([`io::ErrorKind::InvalidInput`]).
    pub fn push(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if parts.iter().any(|part| part.contains(&0)) {
            let message = "nul byte found in provided data";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        for part in parts {
            self.0.extend_from_slice(part);
        }
        self.0.push(0);
        Ok(())
    }

    /// These words, and what comes after them; `None` if there are not as many.
    pub(crate) fn split(bytes: &[u8], count: usize) -> Option<(Self, &[u8])> {
        let words = bytes.split_inclusive(|byte| *byte == 0).take(count);
        let length = words.map(<[u8]>::len).sum();
        let (words, rest) = bytes.split_at_checked(length)?;
        let words = Words::of(words)?;
        (words.count() == count).then_some((words, rest))
    }

    /// As many words as these bytes are, unless the last of them has no end.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let is_whole = bytes.last().is_none_or(|last| *last == 0);
        is_whole.then(|| Words(bytes.to_vec()))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().filter(|byte| **byte == 0).count()
    }

    /// All of them, with their NULs.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Where each begins, and a null pointer. They are valid as long as this is neither changed nor dropped.
    #[must_use]
    pub fn pointers(&self) -> Vec<*const c_char> {
        let words = self.0.split_inclusive(|byte| *byte == 0);
        let words = words.map(|word| word.as_ptr().cast());
        words.chain([ptr::null()]).collect()
    }
}
