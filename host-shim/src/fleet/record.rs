//! Codex's own record of a thread on this host: a file to which codex appends lines. What they say is not read.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::prefixes::{FileId, Prefix};
use super::store::{MAX_LINE_BYTES, MAX_PIECE_BYTES, RecordMark};
use crate::contract::thread_id::is_uuid;
use crate::session::place::{at, refused};

/// A record, and how much of it the store has.
#[derive(Clone)]
pub struct Record {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is from codex's home.
    pub name: String,
    /// How much of it the store has.
    pub bytes: u64,
    /// The digest of that.
    pub digest: Sha256,
    /// The file that this was seen in; `None` if it has not been looked at.
    pub file: Option<FileId>,
}

/// New lines of a record.
pub struct NewLines {
    /// Whole lines; empty if there are none.
    pub lines: Vec<u8>,
    /// The record, as it is when the store has them.
    pub then: Record,
    /// Whether there was nothing more when they were read.
    pub is_rest: bool,
}

impl Record {
    /// One of which the store has nothing.
    pub fn new(home: &Path, name: &str) -> Self {
        Record {
            path: home.join(name),
            name: name.to_owned(),
            bytes: 0,
            digest: Sha256::new(),
            file: None,
        }
    }

    /// What the store is told of it.
    pub fn mark(&self, codex_version: &str) -> RecordMark {
        RecordMark {
            path: self.name.clone(),
            bytes: self.bytes,
            digest: self.digest.clone().finalize().into(),
            codex_version: codex_version.to_owned(),
        }
    }

    /// What there is to know about it for the next turn.
    pub fn prefix(&self) -> Option<Prefix> {
        Some(Prefix {
            file: self.file?,
            bytes: self.bytes,
            digest: self.digest.clone(),
        })
    }

    /// The lines that the store does not have, some [`MAX_PIECE_BYTES`] of them, or one longer one. Blocks.
    ///
    /// # Errors
    /// If it cannot be read, or is no longer what it was.
    pub fn new_lines(mut self) -> io::Result<NewLines> {
        let cannot = |error| at(&self.path, "cannot be read", error);
        let mut file = open(&self.path)?;
        let metadata = file.metadata().map_err(cannot)?;
        let id = FileId::from(&metadata);
        let length = metadata.len();
        if length < self.bytes || self.file.is_some_and(|before| before != id) {
            let same = length >= self.bytes
                && digest_of(&mut file, self.bytes).map_err(cannot)?.finalize()
                    == self.digest.clone().finalize();
            if !same {
                return Err(refused(
                    &self.path,
                    "is codex's record of the conversation, and somebody else has changed it: end what writes there besides codex",
                ));
            }
        }
        self.file = Some(id);
        let (mut lines, mut is_rest) = (Vec::new(), true);
        if length > self.bytes {
            file.seek(SeekFrom::Start(self.bytes)).map_err(cannot)?;
            let read = whole_lines(&mut file, length - self.bytes);
            (lines, is_rest) = read.map_err(|error| match error.kind() {
                ErrorKind::FileTooLarge => too_long(&self.path),
                _ => cannot(error),
            })?;
        }
        self.digest.update(&lines);
        self.bytes += lines.len() as u64;
        Ok(NewLines {
            lines,
            then: self,
            is_rest,
        })
    }

    /// The same record when the store had only so much of it. Blocks.
    pub fn back_to(mut self, bytes: u64) -> io::Result<Self> {
        let cannot = |error| at(&self.path, "cannot be read", error);
        let mut file = open(&self.path)?;
        let metadata = file.metadata().map_err(cannot)?;
        self.file = Some(FileId::from(&metadata));
        self.digest = digest_of(&mut file, bytes).map_err(cannot)?;
        self.bytes = bytes;
        Ok(self)
    }
}

/// Opens a record. What is no plain file is none, and a link is not followed.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| at(path, "cannot be read", error))?;
    let metadata = file
        .metadata()
        .map_err(|error| at(path, "cannot be read", error))?;
    if !metadata.is_file() {
        return Err(refused(path, "is not a plain file"));
    }
    Ok(file)
}

/// The digest of the first bytes of a file.
pub fn digest_of(file: &mut File, bytes: u64) -> io::Result<Sha256> {
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    let read = io::copy(&mut Read::by_ref(file).take(bytes), &mut digest)?;
    if read < bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(digest)
}

/// The whole lines among the next `available` bytes: a piece of them, or one line that is longer. And whether there are no
/// more.
fn whole_lines(file: &mut File, available: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut lines = Vec::new();
    let mut most = MAX_PIECE_BYTES as u64;
    loop {
        let before = lines.len();
        let wanted = most.min(available) - before as u64;
        Read::by_ref(file).take(wanted).read_to_end(&mut lines)?;
        let is_all = available <= most;
        // A line that is longer than a piece is one by itself.
        let new = lines.get(before..).unwrap_or_default();
        let end = match before {
            0 => memchr::memrchr(b'\n', new),
            _ => memchr::memchr(b'\n', new),
        };
        if let Some(end) = end {
            let length = lines.len();
            lines.truncate(before + end + 1);
            let is_cut = before > 0 && lines.len() < length;
            return Ok((lines, is_all && !is_cut));
        }
        if is_all {
            // Codex has not written its end yet.
            return Ok((Vec::new(), true));
        }
        if most >= MAX_LINE_BYTES as u64 {
            return Err(ErrorKind::FileTooLarge.into());
        }
        most = (most * 2).min(MAX_LINE_BYTES as u64);
    }
}

/// The error of a record with a line that is not kept.
fn too_long(path: &Path) -> io::Error {
    let said = format!(
        "codex's record {} has a line of more than {} MiB, which is not kept: begin a new conversation with `plexum-openai-provider session reset`",
        path.display(),
        MAX_LINE_BYTES >> 20
    );
    io::Error::new(ErrorKind::FileTooLarge, said)
}

/// Whether this is where codex keeps the record of this thread. The store might say anything.
pub fn is_name_of(name: &str, thread_id: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let [sessions, year, month, day, file] = parts.as_slice() else {
        return false;
    };
    let is_number =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let ending = format!("-{}.jsonl", thread_id.to_ascii_lowercase());
    let time = file
        .strip_prefix("rollout-")
        .and_then(|rest| rest.strip_suffix(&*ending));
    let is_time = |time: &str| {
        (1..=64).contains(&time.len())
            && time
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    is_uuid(thread_id)
        && *sessions == "sessions"
        && is_number(year, 4)
        && is_number(month, 2)
        && is_number(day, 2)
        && time.is_some_and(is_time)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const ID: &str = "01a215f0-83f3-7a93-a4bf-ac302d6a3744";

    fn name() -> String {
        format!("sessions/2026/11/26/rollout-2026-11-26T03-40-13-{ID}.jsonl")
    }

    impl Record {
        /// Whether the store would have all whole lines.
        fn is_all_seen(&self) -> bool {
            let all = std::fs::read(&self.path).unwrap();
            let whole = memchr::memrchr(b'\n', &all).map_or(0, |end| end as u64 + 1);
            self.bytes == whole
        }
    }

    #[test]
    fn only_where_codex_keeps_it_is_its_place() {
        assert!(is_name_of(&name(), ID));
        let other = ID.replace('4', "5");
        for (wrong, id) in [
            (name(), &*other),
            (name().replace("sessions", ".."), ID),
            (name().replace("2026/", "../"), ID),
            (format!("/{}", name()), ID),
            (name().replace("rollout", "x"), ID),
            (name().replace("03-40", "03/40"), ID),
            (name().replace(".jsonl", ".jsonl.zst"), ID),
            ("sessions/2026/11/26/rollout-1-x.jsonl".into(), "x"),
        ] {
            assert!(!is_name_of(&wrong, id), "{wrong}");
        }
    }

    #[test]
    fn lines_are_handed_over_whole_once_and_in_pieces() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("sessions/2026/11/26");
        std::fs::create_dir_all(&folder).unwrap();
        let mut record = Record::new(home.path(), &name());
        let mut file = File::create(&record.path).unwrap();
        let mut all = Vec::new();
        let mut put = |file: &mut File, bytes: &[u8]| {
            file.write_all(bytes).unwrap();
            all.extend(bytes);
        };
        let mut seen: Vec<u8> = Vec::new();
        let take = |record: &mut Record, seen: &mut Vec<u8>| {
            let new = record.clone().new_lines().unwrap();
            seen.extend(&new.lines);
            *record = new.then;
            assert_eq!(new.is_rest, record.is_all_seen(), "{}", record.bytes);
            new.lines.len()
        };
        assert_eq!(take(&mut record, &mut seen), 0);
        put(&mut file, b"one\ntwo\nthr");
        assert_eq!(take(&mut record, &mut seen), 8);
        assert_eq!(take(&mut record, &mut seen), 0);
        put(&mut file, b"ee\n");
        assert_eq!(take(&mut record, &mut seen), 6);
        // A line that is longer than a piece, and more than a piece of short ones.
        let mut long = vec![b'x'; 2 * MAX_PIECE_BYTES];
        long.push(b'\n');
        // A short one before it: what comes first is not the rest.
        put(&mut file, b"short\n");
        put(&mut file, &long);
        assert_eq!(take(&mut record, &mut seen), 6);
        assert_eq!(take(&mut record, &mut seen), long.len());
        put(&mut file, &b"short\n".repeat(1_000_000));
        assert_eq!(take(&mut record, &mut seen), MAX_PIECE_BYTES / 6 * 6);
        while take(&mut record, &mut seen) > 0 {}
        assert!(seen == all);
        assert_eq!(record.bytes, all.len() as u64);
        assert_eq!(record.digest.clone().finalize(), Sha256::digest(&all));
        // The same content in another file is the same record, other content is not.
        std::fs::copy(&record.path, folder.join("copy")).unwrap();
        std::fs::rename(folder.join("copy"), &record.path).unwrap();
        assert_eq!(take(&mut record, &mut seen), 0);
        std::fs::write(folder.join("other"), vec![b'\n'; all.len()]).unwrap();
        std::fs::rename(folder.join("other"), &record.path).unwrap();
        let error = record.clone().new_lines().err().unwrap().to_string();
        assert!(error.contains("somebody else has changed it"), "{error}");
    }

    #[test]
    fn what_is_no_plain_file_is_no_record() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(open(&path).is_err());
        assert!(open(home.path()).unwrap_err().to_string().contains("plain"));
    }
}
