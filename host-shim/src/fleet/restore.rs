//! Puts codex's record where codex looks for it, as the store has it.
//!
//! **Invariant:** a record that codex might read is replaced by a rename, whole, or not at all; what was there and is not
//! in the store is kept beside it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::prefixes::{FileId, Prefixes};
use super::record::{self, Record, is_name_of};
use super::store::RecordMark;
use crate::session::place::{at, blocking};
use crate::session::store::{SessionError, SessionErrorKind};

/// Where the bytes of a record come from.
pub trait Source: Send {
    /// Some bytes from this one on.
    fn read(&mut self, from: u64) -> impl Future<Output = Result<Vec<u8>, SessionError>> + Send;

    /// Whether the conversation is still this host's.
    fn confirm(&mut self) -> impl Future<Output = Result<(), SessionError>> + Send;
}

/// A record that is as the store has it, or longer.
pub struct Restored {
    /// It.
    pub record: Record,
    /// How many bytes came from the store.
    pub fetched: u64,
    /// How many bytes at its end this host has written and the store does not have: the turn was not told as completed.
    pub unsent: u64,
}

/// What is in the place of the record.
struct Here {
    record: Record,
    /// Whether it has the store's bytes, as many as there are.
    agrees: bool,
    length: u64,
}

/// Has the record of this thread on this host as `mark` says. `is_own` says whether this host wrote the last of it: then
/// what is longer here is what could not be sent.
pub async fn restore(
    home: &Path,
    thread_id: &str,
    mark: &RecordMark,
    is_own: bool,
    prefixes: &Prefixes,
    source: &mut impl Source,
) -> Result<Restored, SessionError> {
    if !is_name_of(&mark.path, thread_id) {
        return Err(damaged(
            thread_id,
            &format!("it is said to be at {:?}", mark.path),
        ));
    }
    let record = Record::new(home, &mark.path);
    let known = prefixes.get(&record.path);
    let looked = {
        let mark = mark.clone();
        blocking(move || look(record, &mark, known)).await?
    };
    if let Some(here) = &looked
        && here.agrees
        && here.record.bytes == mark.bytes
        && (here.length == mark.bytes || is_own)
    {
        return Ok(Restored {
            record: here.record.clone(),
            fetched: 0,
            unsent: here.length - mark.bytes,
        });
    }
    let record = Record::new(home, &mark.path);
    // What is here is the beginning of it, or, if that turns out to be wrong, nothing of it.
    if let Some(here) = looked.filter(|here| here.agrees) {
        match fetch(here.record, mark, source).await {
            Err(error) if error.kind == SessionErrorKind::Unreadable => {}
            fetched => return fetched,
        }
    }
    fetch(record, mark, source).await.map_err(|error| {
        if error.kind == SessionErrorKind::Unreadable {
            damaged(thread_id, &error.message)
        } else {
            error
        }
    })
}

fn damaged(thread_id: &str, why: &str) -> SessionError {
    let message = format!(
        "what the store has of the record of the thread {thread_id} is damaged ({why}): restore the store, or begin a new conversation with `plexum-openai-provider session reset`"
    );
    SessionError::new(SessionErrorKind::Unreadable, message)
}

/// Looks at what is in the place of a record. Blocks.
fn look(
    mut record: Record,
    mark: &RecordMark,
    known: Option<super::prefixes::Prefix>,
) -> io::Result<Option<Here>> {
    let mut file = match record::open(&record.path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let cannot = |error| at(&record.path, "cannot be read", error);
    let metadata = file.metadata().map_err(cannot)?;
    let (id, length) = (FileId::from(&metadata), metadata.len());
    record.file = Some(id);
    if let Some(known) = known
        && known.file == id
        && known.bytes <= mark.bytes
        && length >= known.bytes
    {
        // What was appended since then was never sent.
        let agrees =
            known.bytes < mark.bytes || known.digest.clone().finalize().as_slice() == mark.digest;
        (record.bytes, record.digest) = (known.bytes, known.digest);
        return Ok(Some(Here {
            record,
            agrees,
            length,
        }));
    }
    let bytes = if length >= mark.bytes {
        mark.bytes
    } else {
        last_line_end(&mut file, length).map_err(cannot)?
    };
    record.digest = record::digest_of(&mut file, bytes).map_err(cannot)?;
    record.bytes = bytes;
    // Of a shorter one, only the digest of all will tell.
    let agrees = bytes < mark.bytes || record.digest.clone().finalize().as_slice() == mark.digest;
    Ok(Some(Here {
        record,
        agrees,
        length,
    }))
}

/// Where the last whole line within so many bytes ends.
fn last_line_end(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(64 * 1024);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        io::Read::by_ref(file)
            .take(end - start)
            .read_to_end(&mut block)?;
        if let Some(found) = memchr::memrchr(b'\n', &block) {
            return Ok(start + found as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Writes the record beside its place, its beginning from what is here and the rest from the store, and renames it.
async fn fetch(
    begin: Record,
    mark: &RecordMark,
    source: &mut impl Source,
) -> Result<Restored, SessionError> {
    let wrong = |why: &str| Err(SessionError::new(SessionErrorKind::Unreadable, why));
    let mut record = begin;
    let mut new = {
        let record = record.clone();
        blocking(move || New::begin(&record.path, record.bytes)).await?
    };
    let had = record.bytes;
    while record.bytes < mark.bytes {
        let mut piece = source.read(record.bytes).await?;
        let left = usize::try_from(mark.bytes - record.bytes).unwrap_or(usize::MAX);
        piece.truncate(left);
        if piece.is_empty() {
            return wrong("it is shorter than it should be");
        }
        record.bytes += piece.len() as u64;
        let (written, digest) = blocking(move || {
            new.file
                .write_all(&piece)
                .map_err(|error| at(&new.path, "cannot be written", error))?;
            let mut digest = record.digest;
            digest.update(&piece);
            Ok::<_, io::Error>((new, digest))
        })
        .await?;
        (new, record.digest) = (written, digest);
    }
    if record.digest.clone().finalize().as_slice() != mark.digest {
        return wrong("its digest is another one");
    }
    // Another process of this home may have the conversation by now.
    source.confirm().await?;
    let place = record.path.clone();
    record.file = Some(blocking(move || new.take_place(&place)).await?);
    let fetched = record.bytes - had;
    Ok(Restored {
        record,
        fetched,
        unsent: 0,
    })
}

/// A file that is to become a record. Dropping it removes it.
struct New {
    path: PathBuf,
    file: File,
    is_placed: bool,
}

impl New {
    /// One with the first bytes of what is in the place.
    fn begin(place: &Path, bytes: u64) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(io::Error::other("it has no folder"));
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| at(folder, "cannot be made", error))?;
        // The conversation is this turn's alone, so what has this name is what a crash has left.
        let path = folder.join(format!(".{}.tmp", name.display()));
        let cannot = |error| at(&path, "cannot be written", error);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(cannot)?;
        let mut new = New {
            path: path.clone(),
            file,
            is_placed: false,
        };
        if bytes > 0 {
            let mut before = record::open(place)?.take(bytes);
            io::copy(&mut before, &mut new.file).map_err(cannot)?;
        }
        Ok(new)
    }

    /// Takes the place of the record. What is there has something that the store does not, unless it was its beginning: it
    /// is kept, under a name that codex does not take for a record.
    fn take_place(mut self, place: &Path) -> io::Result<FileId> {
        let cannot = |error| at(place, "cannot be replaced", error);
        let length = self.file.metadata().map_err(cannot)?.len();
        match place.symlink_metadata() {
            Ok(before)
                if !before.is_file() || before.len() > length || !self.begins_with(place)? =>
            {
                let aside = put_aside(place).map_err(cannot)?;
                tracing::warn!(
                    record = %place.display(),
                    aside = %aside.display(),
                    "codex's record differed from that of the store; it was put aside"
                );
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        std::fs::rename(&self.path, place).map_err(cannot)?;
        self.is_placed = true;
        let metadata = self.file.metadata().map_err(cannot)?;
        Ok(FileId::from(&metadata))
    }

    /// Whether it begins with all that is in the place.
    fn begins_with(&self, place: &Path) -> io::Result<bool> {
        let cannot = |error| at(place, "cannot be read", error);
        let mut before = record::open(place)?;
        let length = before.metadata().map_err(cannot)?.len();
        let mut now = record::open(&self.path)?;
        let both = (
            record::digest_of(&mut before, length),
            record::digest_of(&mut now, length),
        );
        Ok(both.0.map_err(cannot)?.finalize() == both.1.map_err(cannot)?.finalize())
    }
}

/// How many files that were put aside are kept of one record.
const ASIDE: u32 = 8;

/// Puts a record aside. The oldest that was put aside goes.
fn put_aside(place: &Path) -> io::Result<PathBuf> {
    let name = |number: u32| place.with_extension(format!("jsonl.aside-{number}"));
    for number in (1..ASIDE).rev() {
        match std::fs::rename(name(number), name(number + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let aside = name(1);
    std::fs::rename(place, &aside)?;
    Ok(aside)
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.is_placed {
            let removed = std::fs::remove_file(&self.path);
            if let Err(error) = removed {
                tracing::warn!(path = %self.path.display(), %error, "a file was left behind");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::Sha256;

    use super::*;

    const ID: &str = "01a215f0-83f3-7a93-a4bf-ac302d6a3744";

    struct Kept(Vec<u8>);

    impl Source for Kept {
        async fn confirm(&mut self) -> Result<(), SessionError> {
            Ok(())
        }

        async fn read(&mut self, from: u64) -> Result<Vec<u8>, SessionError> {
            let from = usize::try_from(from).unwrap();
            Ok(self
                .0
                .get(from..)
                .unwrap_or_default()
                .iter()
                .take(7)
                .copied()
                .collect())
        }
    }

    fn name() -> String {
        format!("sessions/2026/11/26/rollout-2026-11-26T03-40-13-{ID}.jsonl")
    }

    fn mark(kept: &[u8]) -> RecordMark {
        RecordMark {
            path: name(),
            bytes: kept.len() as u64,
            digest: Sha256::digest(kept).into(),
            codex_version: "0.169.0".into(),
        }
    }

    /// What there is afterwards: the record, what was put aside, how much was fetched and how much is unsent.
    async fn restored(
        here: Option<&[u8]>,
        kept: &[u8],
        is_own: bool,
    ) -> (Vec<u8>, Option<Vec<u8>>, u64, u64) {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join(name());
        if let Some(here) = here {
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(&place, here).unwrap();
        }
        let mut source = Kept(kept.to_vec());
        let prefixes = Prefixes::default();
        let mark = mark(kept);
        let restored = restore(home.path(), ID, &mark, is_own, &prefixes, &mut source);
        let Restored {
            record,
            fetched,
            unsent,
        } = restored.await.unwrap();
        assert_eq!(record.bytes, kept.len() as u64);
        assert_eq!(record.digest.finalize().as_slice(), mark.digest);
        let aside = std::fs::read(place.with_extension("jsonl.aside-1")).ok();
        let files = std::fs::read_dir(place.parent().unwrap()).unwrap().count();
        assert_eq!(
            files,
            1 + usize::from(aside.is_some()),
            "something was left behind"
        );
        (std::fs::read(&place).unwrap(), aside, fetched, unsent)
    }

    #[tokio::test]
    async fn a_record_becomes_what_the_store_has_and_nothing_is_lost() {
        const KEPT: &[u8] = b"one\ntwo\nthree\n";
        let all = (KEPT.to_vec(), None, 14, 0);
        for is_own in [true, false] {
            assert_eq!(restored(None, KEPT, is_own).await, all);
            assert_eq!(restored(Some(b""), KEPT, is_own).await, all);
            let same = restored(Some(KEPT), KEPT, is_own).await;
            assert_eq!(same, (KEPT.to_vec(), None, 0, 0));
            let rest = restored(Some(b"one\n"), KEPT, is_own).await;
            assert_eq!(rest, (KEPT.to_vec(), None, 10, 0));
            // Torn, but what is there is right.
            let torn = restored(Some(b"one\ntw"), KEPT, is_own).await;
            assert_eq!(torn, (KEPT.to_vec(), None, 10, 0));
            // Another beginning.
            let other = restored(Some(b"one\nTWO\n"), KEPT, is_own).await;
            assert_eq!(other, (KEPT.to_vec(), Some(b"one\nTWO\n".to_vec()), 14, 0));
            let other: &[u8] = b"one\nTWO\nthree\nfour\n";
            let replaced = restored(Some(other), KEPT, is_own).await;
            assert_eq!(replaced, (KEPT.to_vec(), Some(other.to_vec()), 14, 0));
        }
        let longer: &[u8] = b"one\ntwo\nthree\nfour\n";
        let own = restored(Some(longer), KEPT, true).await;
        assert_eq!(own, (longer.to_vec(), None, 0, 5));
        let anothers = restored(Some(longer), KEPT, false).await;
        assert_eq!(anothers, (KEPT.to_vec(), Some(longer.to_vec()), 0, 0));
    }

    #[tokio::test]
    async fn what_the_store_has_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let outside = home.path().join("outside");
        let place = home.path().join(name());
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, "mine\n").unwrap();
        let right = mark(b"one\ntwo\n");
        let cases = [
            (
                RecordMark {
                    path: "sessions/../../outside".into(),
                    ..right.clone()
                },
                "said to be",
            ),
            (
                RecordMark {
                    digest: [0; 32],
                    ..right.clone()
                },
                "another one",
            ),
            (
                RecordMark {
                    bytes: 100,
                    ..right.clone()
                },
                "shorter",
            ),
        ];
        for (mark, why) in cases {
            let mut source = Kept(b"one\ntwo\n".to_vec());
            let prefixes = Prefixes::default();
            let restored = restore(home.path(), ID, &mark, false, &prefixes, &mut source).await;
            let error = restored.err().unwrap();
            assert_eq!(error.kind, SessionErrorKind::Unreadable);
            assert!(error.message.contains(why), "{error}");
            assert!(error.message.contains("session reset"), "{error}");
            assert_eq!(std::fs::read(&place).unwrap(), b"mine\n");
            assert!(!outside.exists());
            let files = std::fs::read_dir(place.parent().unwrap()).unwrap().count();
            assert_eq!(files, 1, "something was left behind");
        }
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_a_record_is_refused_and_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join(name());
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let precious = home.path().join("precious");
        std::fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &place).unwrap();
        let mut source = Kept(b"one\n".to_vec());
        let prefixes = Prefixes::default();
        let mark = mark(b"one\n");
        let restored = restore(home.path(), ID, &mark, false, &prefixes, &mut source).await;
        assert!(restored.is_err());
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    }
}
