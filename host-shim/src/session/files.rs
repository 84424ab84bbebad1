//! The session as files in the workspace.
//!
//! `.plexum-codex-session` holds the thread id and nothing else, not even a line feed (codex takes an id
//! with one for a name, and silently begins a new thread), so that `codex resume
//! "$(cat .plexum-codex-session)"` works by hand. It is replaced, never written to: the id goes to
//! `.plexum-codex-session.tmp`, which is synced and renamed, and then the folder is synced. A crash
//! at any moment leaves the old file or the new one, whole, and at worst a stale `.tmp`.
//!
//! `.plexum-codex-lock` is locked while a turn runs, so that the turns of a conversation follow each other.
//!
//! A conversation that the caller names has files of its own, whose names end in a digest of that name: it may be
//! any text.
//!
//! The agent may write anything into the workspace, so nothing here follows a symbolic link, and nothing is read that
//! is not a small plain file.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::contract::event::Usage;
use crate::contract::thread_id::is_plain;
use crate::session::lock::LockFile;
use crate::session::place::{at, blocking, refused};
use crate::session::store::{SessionEntry, SessionGuard, SessionKey, SessionStore, StoreFuture};

/// The file that holds the thread id.
pub const SESSION_FILE: &str = ".plexum-codex-session";
/// The file that holds the thread's token totals and a digest of its instructions.
pub const STATE_FILE: &str = ".plexum-codex-state.json";

/// The file that keeps other turns out; it stays, empty.
pub const LOCK_FILE: &str = ".plexum-codex-lock";

/// Far more than an id or the totals need.
pub(crate) const MAX_FILE_BYTES: u64 = 4096;

/// The steps of replacing a file, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveStep {
    /// Nothing has been touched yet.
    Begun,
    /// The temporary file exists, empty.
    Created,
    /// It holds the first half of its content.
    HalfWritten,
    /// It holds its content.
    Written,
    /// Its content is on the disk. The state file is not synced, and so skips this step and the last.
    Synced,
    /// It has taken the place of the real file.
    Renamed,
    /// The rename itself is on the disk.
    FolderSynced,
}

impl SaveStep {
    /// All of them, in order.
    pub const ALL: [SaveStep; 7] = [
        SaveStep::Begun,
        SaveStep::Created,
        SaveStep::HalfWritten,
        SaveStep::Written,
        SaveStep::Synced,
        SaveStep::Renamed,
        SaveStep::FolderSynced,
    ];
}

/// What may be lost of a file if this process or the machine dies while it is replaced, or a little later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Nothing: either the old content or the new one is left.
    Never,
    /// Everything: perhaps neither content is left.
    Tolerable,
}

type Observer = Arc<dyn Fn(&Path, SaveStep) + Send + Sync>;

/// Keeps the session in `.plexum-codex-session` and `.plexum-codex-state.json`.
#[derive(Clone, Default)]
pub struct SessionFiles {
    observer: Option<Observer>,
}

/// The content of the state file. It names its thread, because a person may change the
/// session file by hand.
#[derive(Serialize, Deserialize)]
struct State {
    thread_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    totals: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
}

/// The files of one conversation.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// Like [`SESSION_FILE`].
    pub session: PathBuf,
    /// Like [`STATE_FILE`].
    pub state: PathBuf,
    /// Like [`LOCK_FILE`].
    pub lock: PathBuf,
}

impl Files {
    /// Those of this conversation.
    pub fn of(key: &SessionKey) -> Self {
        let name = |name: &str| match &key.session {
            None => key.workspace.join(name),
            Some(session) => {
                let digest = format!("{:x}", Sha256::digest(session));
                // 128 bits: no two names share them.
                let digest = digest.get(..32).unwrap_or_default();
                let (stem, extension) = match name.rsplit_once(".json") {
                    Some((stem, _)) => (stem, ".json"),
                    None => (name, ""),
                };
                key.workspace.join(format!("{stem}-{digest}{extension}"))
            }
        };
        Files {
            session: name(SESSION_FILE),
            state: name(STATE_FILE),
            lock: name(LOCK_FILE),
        }
    }
}

impl SessionFiles {
    /// Calls `observer` with the file and each step while a file is being replaced, so that a test can crash there.
    #[must_use]
    pub fn observed(observer: impl Fn(&Path, SaveStep) + Send + Sync + 'static) -> Self {
        SessionFiles {
            observer: Some(Arc::new(observer)),
        }
    }

    /// The file that holds the thread id of this conversation.
    #[must_use]
    pub fn session_file(key: &SessionKey) -> PathBuf {
        Files::of(key).session
    }

    pub(crate) fn load_blocking(files: &Files) -> io::Result<Option<SessionEntry>> {
        let Some(text) = read_small(&files.session)? else {
            return Ok(None);
        };
        let thread_id = text.trim().to_owned();
        // Without this the turn's usage is unknown, and whether its instructions are new.
        let state = match read_small(&files.state) {
            Ok(state) => state
                .and_then(|state| serde_json::from_str::<State>(&state).ok())
                .filter(|state| state.thread_id == thread_id),
            Err(error) => {
                tracing::warn!(%error, "the stored token totals cannot be read; this turn's usage is unknown");
                None
            }
        };
        let (totals, instructions) =
            state.map_or((None, None), |state| (state.totals, state.instructions));
        Ok(Some(SessionEntry {
            thread_id,
            totals,
            instructions,
        }))
    }

    fn save_blocking(&self, files: &Files, entry: &SessionEntry) -> io::Result<()> {
        // What is saved must be loaded unchanged; white space at the ends, for example, would be lost.
        if !is_plain(&entry.thread_id) {
            return Err(refused(
                &files.session,
                "cannot hold this thread id, which is not a plain word of at most 128 bytes",
            ));
        }
        let SessionEntry {
            thread_id,
            totals,
            instructions,
        } = entry;
        let known = totals.is_some() || instructions.is_some();
        let state = known.then(|| {
            serde_json::to_vec(&State {
                thread_id: thread_id.clone(),
                totals: *totals,
                instructions: instructions.clone(),
            })
        });
        let state = state.transpose()?;
        // Rewriting what is there would cost a sync and risk it for nothing.
        if !matches!(read_small(&files.session), Ok(Some(held)) if held == *thread_id) {
            self.replace(&files.session, thread_id.as_bytes(), Loss::Never)?;
        }
        match state {
            // What is lost of it counts as unknown, and that is not worth waiting for the disk in every turn.
            Some(state) => self.replace(&files.state, &state, Loss::Tolerable),
            None => remove(&files.state),
        }
    }

    fn set_aside_blocking(path: &Path) -> io::Result<()> {
        let bad = with_suffix(path, ".bad");
        std::fs::rename(path, &bad).map_err(|error| {
            at(
                path,
                &format!("cannot be renamed to {}", bad.display()),
                error,
            )
        })
    }

    /// Replaces the content of a file, completely or not at all.
    fn replace(&self, path: &Path, content: &[u8], loss: Loss) -> io::Result<()> {
        let step = |step| {
            if let Some(observer) = &self.observer {
                observer(path, step);
            }
        };
        let temporary = with_suffix(path, ".tmp");
        step(SaveStep::Begun);
        if loss == Loss::Tolerable {
            // Wrong totals are worse than none: on a full disk, the old ones must not stay. Besides, the room that they
            // leave may be all that there is. And some file systems (ext4, btrfs) write a file to the disk when it takes
            // another's place, so that nothing is lost; that costs more than all the rest of this.
            remove(path)?;
        }
        let written = (|| {
            let mut file = create_new(&temporary)?;
            step(SaveStep::Created);
            let (first, second) = content.split_at(content.len() / 2);
            file.write_all(first)?;
            step(SaveStep::HalfWritten);
            file.write_all(second)?;
            step(SaveStep::Written);
            if loss == Loss::Never {
                file.sync_all()?;
                step(SaveStep::Synced);
            }
            Ok(())
        })();
        if let Err(error) = written {
            let error = at(&temporary, "cannot be written", error);
            // The error that counts is the first; a leftover is only untidy.
            return Err(match remove(&temporary) {
                Ok(()) => error,
                Err(leftover) => io::Error::new(error.kind(), format!("{error}; {leftover}")),
            });
        }
        std::fs::rename(&temporary, path).map_err(|error| at(path, "cannot be replaced", error))?;
        step(SaveStep::Renamed);
        if loss == Loss::Never
            && let Some(folder) = path.parent()
        {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            match synced {
                // Network and foreign file systems: that is as durable as a file can be there.
                Err(error) if has_no_folder_sync(&error) => {
                    tracing::debug!(folder = %folder.display(), "the file system cannot sync a folder");
                }
                synced => synced.map_err(|error| at(folder, "cannot be synced", error))?,
            }
            step(SaveStep::FolderSynced);
        }
        Ok(())
    }
}

impl SessionStore for SessionFiles {
    fn lock<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Arc<dyn SessionGuard>> {
        Box::pin(async move {
            let lock = LockFile::acquire(&Files::of(key).lock).await?;
            Ok(Arc::new(lock) as Arc<dyn SessionGuard>)
        })
    }

    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<SessionEntry>> {
        let files = Files::of(key);
        Box::pin(async move { Ok(blocking(move || Self::load_blocking(&files)).await?) })
    }

    fn save<'a>(&'a self, key: &'a SessionKey, entry: SessionEntry) -> StoreFuture<'a, ()> {
        let (this, files) = (self.clone(), Files::of(key));
        Box::pin(async move { Ok(blocking(move || this.save_blocking(&files, &entry)).await?) })
    }

    fn set_aside<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()> {
        let path = Files::of(key).session;
        Box::pin(async move { Ok(blocking(move || Self::set_aside_blocking(&path)).await?) })
    }
}

/// Whether this is what a file system says that has no such thing as syncing a folder.
fn has_no_folder_sync(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS))
}

/// The text of a small plain file; `None` if there is no such file.
fn read_small(path: &Path) -> io::Result<Option<String>> {
    // NONBLOCK: a FIFO in the file's place must not hold the turn up.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(refused(
                path,
                "is a symbolic link, which is not followed: remove it",
            ));
        }
        Err(error) => return Err(at(path, "cannot be opened", error)),
    };
    let metadata = file
        .metadata()
        .map_err(|error| at(path, "cannot be examined", error))?;
    if !metadata.is_file() {
        return Err(refused(path, "is not a plain file: remove it"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| at(path, "cannot be read", error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refused(
            path,
            "is too large to be a session file: remove it",
        ));
    }
    // Bytes that are not text are not a thread id either, and are set aside.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Creates a new file; one left over from a crash is removed first, and so is a link that someone put there.
fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            remove(path)?;
            options.open(path)
        }
        other => other,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| at(path, "cannot be removed", error)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

    fn entry(input_tokens: Option<u64>) -> SessionEntry {
        let totals = input_tokens.map(|input_tokens| Usage {
            input_tokens,
            ..Usage::default()
        });
        SessionEntry {
            totals,
            ..SessionEntry::new(ID)
        }
    }

    fn files_in(folder: &Path) -> Files {
        Files::of(&SessionKey::of_workspace(folder))
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let files = SessionFiles::default();
        assert_eq!(
            SessionFiles::load_blocking(&files_in(folder.path())).unwrap(),
            None
        );
        let told = |entry: SessionEntry| SessionEntry {
            instructions: Some("digest".into()),
            ..entry
        };
        for kept in [
            entry(None),
            told(entry(None)),
            told(entry(Some(7))),
            entry(Some(8)),
            entry(None),
        ] {
            files
                .save_blocking(&files_in(folder.path()), &kept)
                .unwrap();
            assert_eq!(
                SessionFiles::load_blocking(&files_in(folder.path())).unwrap(),
                Some(kept)
            );
        }
        assert_eq!(
            std::fs::read_to_string(folder.path().join(SESSION_FILE)).unwrap(),
            ID
        );
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert_eq!(names, [SESSION_FILE]);
    }

    #[test]
    fn conversations_with_names_have_files_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionFiles::default();
        let names = [None, Some(""), Some("a"), Some("../../b\0")];
        let keys = names.map(|name| SessionKey::new(folder.path(), name.map(str::to_owned)));
        for (number, key) in (0_u64..).zip(&keys) {
            let files = Files::of(key);
            assert_eq!(files.session.parent(), Some(folder.path()));
            store.save_blocking(&files, &entry(Some(number))).unwrap();
        }
        for (number, key) in (0_u64..).zip(&keys) {
            let loaded = SessionFiles::load_blocking(&Files::of(key)).unwrap();
            assert_eq!(loaded, Some(entry(Some(number))), "{key:?}");
        }
        assert_eq!(
            Files::of(&keys[0]).session,
            folder.path().join(SESSION_FILE)
        );
    }

    #[test]
    fn an_id_that_would_not_be_loaded_again_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = SessionFiles::default();
        // Loaded as text, these bytes and the id below look the same.
        let path = folder.path().join(SESSION_FILE);
        std::fs::write(&path, b"\xff").unwrap();
        let long = "a".repeat(5000);
        for thread_id in ["", " ", "a ", "a\nb", "\u{fffd}", &long] {
            let entry = SessionEntry {
                thread_id: thread_id.into(),
                ..entry(Some(7))
            };
            let error = files
                .save_blocking(&files_in(folder.path()), &entry)
                .unwrap_err();
            assert!(error.to_string().contains(SESSION_FILE), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), b"\xff");
            assert!(!folder.path().join(STATE_FILE).exists());
        }
    }

    #[test]
    fn totals_of_another_thread_or_that_make_no_sense_are_unknown() {
        let folder = tempfile::tempdir().unwrap();
        SessionFiles::default()
            .save_blocking(&files_in(folder.path()), &entry(Some(7)))
            .unwrap();
        let other = "01a203e6-c71a-7d50-bfec-000000000000";
        std::fs::write(folder.path().join(SESSION_FILE), other).unwrap();
        let loaded = SessionFiles::load_blocking(&files_in(folder.path()))
            .unwrap()
            .unwrap();
        assert_eq!((loaded.thread_id.as_str(), loaded.totals), (other, None));
        std::fs::write(folder.path().join(STATE_FILE), "{").unwrap();
        assert!(
            SessionFiles::load_blocking(&files_in(folder.path()))
                .unwrap()
                .unwrap()
                .totals
                .is_none()
        );
    }

    #[test]
    fn links_folders_pipes_and_huge_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SESSION_FILE);
        let secret = folder.path().join("secret");
        std::fs::write(&secret, ID).unwrap();
        let refused = |expected: &str| {
            let error = SessionFiles::load_blocking(&files_in(folder.path()))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(SESSION_FILE) && error.contains(expected),
                "{error}"
            );
        };
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        refused("is a symbolic link");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        refused("not a plain file");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, vec![b'x'; 5000]).unwrap();
        refused("too large");
        std::fs::remove_file(&path).unwrap();
        let fifo = std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap();
        assert!(fifo.success());
        refused("not a plain file");
    }

    #[test]
    fn saving_replaces_a_link_and_leaves_what_it_points_to() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "untouched").unwrap();
        for name in [".plexum-codex-session", ".plexum-codex-session.tmp"] {
            std::os::unix::fs::symlink(&secret, folder.path().join(name)).unwrap();
        }
        SessionFiles::default()
            .save_blocking(&files_in(folder.path()), &entry(None))
            .unwrap();
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "untouched");
        assert_eq!(
            SessionFiles::load_blocking(&files_in(folder.path())).unwrap(),
            Some(entry(None))
        );
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = SessionFiles::default()
            .save_blocking(&files_in(&folder.path().join("gone")), &entry(None))
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains(".plexum-codex-session.tmp cannot be written"),
            "{error}"
        );
    }
}
