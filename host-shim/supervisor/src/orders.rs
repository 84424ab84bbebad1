//! What the host asks of a supervisor: which program to start, how, and with which descriptors.
//!
//! The first byte says which descriptors come with it, in the order of their bits. The length of the rest follows, a
//! `u32`, and then the rest: numbers of 8 bytes, all in the machine's order, and words that each end with a NUL. At the end
//! is a byte that is read when codex starts: as long as that is unread, there was no codex.

use std::ffi::{CStr, CString, OsStr};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::{Mark, Words};

/// The bit for codex's standard input. Without it, that is `/dev/null`.
pub const STDIN: u8 = 1;
/// The bit for a locked file, which is to stay locked until everything has ended.
pub const LOCK: u8 = 2;
/// The bit for the folder of the cgroup that codex is to be in.
pub const CGROUP: u8 = 4;
/// The bit for codex's standard output, without which there are no orders.
pub const STDOUT: u8 = 8;
/// The bit for codex's standard error, without which there are none either.
pub const STDERR: u8 = 16;
/// How many descriptors there are at most.
pub const MOST: usize = 5;

/// The last byte, whose value says nothing.
const START: u8 = 0;

/// More than any system lets a program be started with.
const MOST_BYTES: usize = 64 << 20;

/// In the place of a limit: there is to be none but the supervisor's own.
const LIMIT_STAYS: u64 = 0;

/// How to start codex.
#[derive(Debug, PartialEq, Eq)]
pub struct Orders {
    /// How long it has to exit on its own when it is stopped.
    pub grace: Duration,
    /// Whether the supervisor waits for other orders when nothing of this codex is left. Otherwise it exits.
    pub stays: bool,
    /// What it and all that it starts are marked with.
    pub mark: Mark,
    /// The soft limit on open files that it is to have, unless that is the supervisor's own.
    pub open_files: Option<u64>,
    /// Its working folder, an absolute path.
    pub folder: CString,
    /// The program, by its path, and its arguments.
    pub command: Words,
    /// All of its environment variables, `NAME=value`.
    pub environment: Words,
}

impl Orders {
    /// A folder.
    ///
    /// # Errors
    /// As for [`Words::push`].
    pub fn folder(path: &Path) -> io::Result<CString> {
        Ok(CString::new(path.as_os_str().as_bytes())?)
    }

    /// The words of a command.
    ///
    /// # Errors
    /// As for [`Words::push`].
    pub fn command(program: &Path, args: &[impl AsRef<OsStr>]) -> io::Result<Words> {
        let mut words = Words::default();
        words.push(&[program.as_os_str().as_bytes()])?;
        for word in args {
            words.push(&[word.as_ref().as_bytes()])?;
        }
        Ok(words)
    }

    /// An environment.
    ///
    /// # Errors
    /// As for [`Words::push`].
    pub fn environment(variables: &[(impl AsRef<OsStr>, impl AsRef<OsStr>)]) -> io::Result<Words> {
        let mut words = Words::default();
        for (name, value) in variables {
            words.push(&[name.as_ref().as_bytes(), b"=", value.as_ref().as_bytes()])?;
        }
        Ok(words)
    }

    /// What follows the first byte, with the one that [`Orders::read`] leaves.
    ///
    /// # Errors
    /// [`io::ErrorKind::ArgumentListTooLong`] if no system could start a program with so much.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; size_of::<u32>()];
        let millis = u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX);
        let words = u64::try_from(self.command.count()).unwrap_or(u64::MAX);
        let open_files = self.open_files.unwrap_or(LIMIT_STAYS);
        let stays = u64::from(self.stays);
        for number in [millis, stays, self.mark.number(), open_files, words] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes.extend_from_slice(self.folder.as_bytes_with_nul());
        bytes.extend_from_slice(self.command.as_bytes());
        bytes.extend_from_slice(self.environment.as_bytes());
        let rest = bytes.len() - size_of::<u32>();
        let length = u32::try_from(rest).ok().filter(|_| rest <= MOST_BYTES);
        let length = length.ok_or(io::ErrorKind::ArgumentListTooLong)?;
        if let Some(room) = bytes.first_chunk_mut() {
            *room = length.to_ne_bytes();
        }
        bytes.push(START);
        Ok(bytes)
    }

    /// Reads them back, but for the last byte.
    ///
    /// # Errors
    /// Those of the reader, and [`io::ErrorKind::InvalidData`] for what no host would say.
    pub fn read(mut reader: impl Read) -> io::Result<Self> {
        let mut length = [0; size_of::<u32>()];
        reader.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_ne_bytes(length)).unwrap_or(usize::MAX);
        if length > MOST_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes)?;
        Self::from_rest(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn from_rest(bytes: &[u8]) -> Option<Self> {
        let (numbers, bytes) = bytes.split_at_checked(5 * size_of::<u64>())?;
        let (numbers, []) = numbers.as_chunks() else {
            return None;
        };
        let &[millis, stays, mark, open_files, words] = numbers else {
            return None;
        };
        let number = u64::from_ne_bytes;
        let folder = CStr::from_bytes_until_nul(bytes).ok()?;
        let (_, bytes) = bytes.split_at_checked(folder.count_bytes() + 1)?;
        let words = usize::try_from(number(words)).ok()?;
        let (command, bytes) = Words::split(bytes, words).filter(|_| words > 0)?;
        Some(Orders {
            grace: Duration::from_millis(number(millis)),
            stays: number(stays) != 0,
            mark: Mark::from_number(number(mark))?,
            open_files: Some(number(open_files)).filter(|limit| *limit != LIMIT_STAYS),
            folder: folder.to_owned(),
            command,
            environment: Words::of(bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Orders {
        Orders {
            grace: Duration::from_millis(1500),
            stays: true,
            mark: Mark::new(7),
            open_files: Some(1024),
            folder: Orders::folder(Path::new("/work")).unwrap(),
            command: Orders::command(Path::new("/bin/codex"), &["exec", "", "a\nb"]).unwrap(),
            environment: Orders::environment(&[("HOME", "/home"), ("EMPTY", "")]).unwrap(),
        }
    }

    #[test]
    fn they_are_read_as_they_were_said() {
        let bare = Orders {
            stays: false,
            open_files: None,
            environment: Words::default(),
            ..orders()
        };
        for orders in [orders(), bare] {
            let bytes = orders.to_bytes().unwrap();
            let mut reader = bytes.as_slice();
            assert_eq!(Orders::read(&mut reader).unwrap(), orders);
            assert_eq!(reader, [START], "codex takes it");
        }
    }

    #[test]
    fn what_no_host_would_say_is_an_error() {
        let bytes = orders().to_bytes().unwrap();
        let (_, whole) = bytes.split_last().unwrap();
        for len in 0..whole.len() {
            assert!(Orders::read(&whole[..len]).is_err(), "{len}");
        }
        let changed = |at: usize, bytes: &[u8]| {
            let mut changed = whole.to_vec();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            Orders::read(&*changed)
                .map(drop)
                .map_err(|error| error.kind())
        };
        let invalid = Err(io::ErrorKind::InvalidData);
        assert_eq!(changed(0, &[255; 4]), invalid, "a length without end");
        assert_eq!(changed(20, &[0; 8]), invalid, "no mark");
        assert_eq!(changed(36, &[0; 8]), invalid, "no command");
        assert_eq!(changed(36, &[255; 8]), invalid, "words without end");
        assert_eq!(
            changed(whole.len() - 1, b"x"),
            invalid,
            "a word without end"
        );
    }

    #[test]
    fn a_word_with_a_nul_cannot_be_said() {
        let error = Orders::command(Path::new("/bin/codex"), &["a\0b"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = Orders::environment(&[("A\0", "b")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = Orders::folder(Path::new("/a\0b")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
