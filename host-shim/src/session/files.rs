//! The session as a file in the workspace, and what is known of it outside.
//!
//! `.plexum-codex-session` holds the thread id and nothing else, not even a line feed (codex takes an id
//! with one for a name, and silently begins a new thread), so that `codex resume
//! "$(cat .plexum-codex-session)"` works by hand. It is replaced, never written to: the id goes to
//! `.plexum-codex-session.tmp`, which is synced and renamed, and then the folder is synced. A crash
//! at any moment leaves the old file or the new one, whole, and at worst a stale `.tmp`.
//!
//! A conversation that the caller names has a file of its own, whose name ends in a digest of that name: it may be
//! any text.
//!
//! The agent may write anything into the workspace, so the file is only a claim: [`state`](super::state) knows whose a
//! thread is, and [`decision`](super::decision) decides. Nothing here follows a symbolic link below the workspace, and
//! nothing is read that is not a small plain file.
//!
//! The lock is on the workspace's folder itself, or for a conversation that has a name on a file of the state: an agent
//! cannot remove the one, and has no business at the other.
//!
//! Where conversations that have a name are those of an index ([`SessionFiles::indexed`]), they have no file in the
//! workspace, and their turns take the lock of the workspace: an editor has many of them in one folder, and two that
//! work on the same files at once would spoil each other's work.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::contract::thread_id::{is_plain, is_uuid};
use crate::scarcity;
use crate::session::decision::{self, Decision, Found, Known, decide};
use crate::session::folder::{Folder, SaveStep, Sync, is_obstacle};
use crate::session::git;
use crate::session::history::{self, History};
use crate::session::index::{self, SessionIndex};
use crate::session::lock;
use crate::session::place::{blocking, refused};
use crate::session::rollout::Rollout;
use crate::session::state::{Belongs, Owner, State, Thread};
use crate::session::store::{
    Acquired, Loaded, Session, SessionEntry, SessionError, SessionErrorKind, SessionKey,
    SessionStore, StoreFuture,
};

/// The file that holds the thread id.
pub const SESSION_FILE: &str = ".plexum-codex-session";

/// Far more than an id needs.
pub(crate) const MAX_FILE_BYTES: u64 = 4096;

type Observer = Arc<dyn Fn(&Path, SaveStep) + Send + std::marker::Sync>;

/// Keeps the thread id in `.plexum-codex-session` in the workspace, and what is known of the thread in a folder of this
/// user's.
#[derive(Clone)]
pub struct SessionFiles {
    state: Option<PathBuf>,
    codex_home: Option<PathBuf>,
    observer: Option<Observer>,
    syncs: Arc<Semaphore>,
    names: Names,
}

/// Where a conversation is kept that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// In a file of the workspace as well.
    InWorkspace,
    /// In the state alone, if the index there has it.
    InIndex,
}

/// How many turns may at once leave it to others to wait until the disk has what they saved. Each holds some files open
/// until then, although it may be over.
const SYNCS: usize = 8;

impl Default for SessionFiles {
    /// As the environment of this process has it: the state in `$XDG_STATE_HOME/plexum-openai-provider`
    /// (`~/.local/state/…`), codex's home in `$CODEX_HOME` (`~/.codex`).
    fn default() -> Self {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".codex"));
        SessionFiles {
            state: State::default_path(),
            codex_home: std::env::var_os("CODEX_HOME")
                .map(PathBuf::from)
                .or_else(home),
            observer: None,
            syncs: Arc::new(Semaphore::new(SYNCS)),
            names: Names::InWorkspace,
        }
    }
}

impl SessionFiles {
    /// Keeps the state in this folder, which must be this user's alone. It is made if it is missing.
    #[must_use]
    pub fn with_state_folder(self, folder: impl Into<PathBuf>) -> Self {
        SessionFiles {
            state: Some(folder.into()),
            ..self
        }
    }

    /// Looks for codex's own records of threads in this home of codex.
    #[must_use]
    pub fn with_codex_home(self, home: impl Into<PathBuf>) -> Self {
        SessionFiles {
            codex_home: Some(home.into()),
            ..self
        }
    }

    /// Conversations that have a name are those of this index, by their ids. They are kept in its state alone, with no
    /// file in the workspace, and only one turn at a time works in a folder, whatever its conversation is. One that the
    /// index does not [find](SessionIndex::find) in the folder is refused.
    #[must_use]
    pub fn indexed(self, index: &SessionIndex) -> Self {
        SessionFiles {
            state: Some(index.state_folder().to_owned()),
            names: Names::InIndex,
            ..self
        }
    }

    /// Keeps no state: each session file is believed, and what turns cost in an earlier process is not known.
    #[must_use]
    pub fn without_state(self) -> Self {
        SessionFiles {
            state: None,
            ..self
        }
    }

    /// Calls `observer` with the file and each step while a session file is being replaced, so that a test can crash
    /// there.
    #[must_use]
    pub fn observed(
        self,
        observer: impl Fn(&Path, SaveStep) + Send + std::marker::Sync + 'static,
    ) -> Self {
        SessionFiles {
            observer: Some(Arc::new(observer)),
            ..self
        }
    }

    /// The file that holds the thread id of this conversation.
    #[must_use]
    pub fn session_file(key: &SessionKey) -> PathBuf {
        key.workspace.join(file_name(key))
    }

    /// What the next turn would go on with. Changes nothing, and does not wait for a running turn.
    ///
    /// # Errors
    /// As those of [`SessionStore::acquire`].
    pub async fn peek(&self, key: &SessionKey) -> Result<Loaded, SessionError> {
        let (this, key) = (self.clone(), key.clone());
        Ok(blocking(move || this.peek_blocking(&key)).await?)
    }

    pub(crate) fn peek_blocking(&self, key: &SessionKey) -> io::Result<Loaded> {
        let conversation = self.open(key, OpenState::IfThere)?;
        Ok(conversation.loaded(&conversation.decision()?))
    }

    /// What was said in the conversation, from codex's own record of its thread. Changes nothing, and does not wait for a
    /// running turn.
    ///
    /// # Errors
    /// As those of [`Self::peek`]; [`SessionErrorKind::Lost`] if codex has no record of it,
    /// [`SessionErrorKind::Unreadable`] if its record cannot be read or has another form than those that are known.
    pub async fn history(&self, key: &SessionKey) -> Result<History, SessionError> {
        let (this, key) = (self.clone(), key.clone());
        blocking(move || {
            let Some(entry) = this.peek_blocking(&key)?.entry else {
                return Ok(History::default());
            };
            let Some(home) = &this.codex_home else {
                let message = "where codex keeps its records is not known: set HOME, or CODEX_HOME";
                return Err(SessionError::new(SessionErrorKind::Unreadable, message));
            };
            history::of_thread(home, &entry.thread_id)
        })
        .await
    }

    /// Makes a thread this conversation's, as a person orders; whose it was before is told.
    ///
    /// # Errors
    /// If the thread id is not one, or nothing can be written.
    pub async fn adopt(
        &self,
        key: &SessionKey,
        thread_id: &str,
    ) -> Result<Option<PathBuf>, SessionError> {
        if !is_uuid(thread_id) {
            let message = format!("{thread_id:?} is not a thread id, which is a UUID");
            return Err(SessionError::new(SessionErrorKind::Denied, message));
        }
        let (locked, _) = self.locked(key, Load::No).await?;
        let thread_id = thread_id.to_owned();
        Ok(blocking(move || locked.conversation.adopt(&thread_id)).await?)
    }

    /// Moves what is kept of the conversation out of the way, as a person orders, so that the next turn begins a new one.
    ///
    /// # Errors
    /// As those of [`Session::set_aside`].
    pub async fn set_aside(&self, key: &SessionKey) -> Result<(), SessionError> {
        let (locked, _) = self.locked(key, Load::No).await?;
        locked.set_aside().await
    }

    /// Whether this is a conversation of the index, kept in the state alone.
    fn is_indexed(&self, key: &SessionKey) -> bool {
        self.names == Names::InIndex && key.session.is_some()
    }

    fn open(&self, key: &SessionKey, how: OpenState) -> io::Result<Conversation> {
        let folder = Folder::open(&key.workspace)?;
        let here = Owner {
            path: std::path::absolute(&key.workspace)?,
            folder: folder.identity()?,
            session: key.session.clone(),
        };
        let state = self.state.as_deref().map_or(Ok(None), |path| match how {
            OpenState::IfThere => State::open_existing(path),
            OpenState::OrMade => State::open(path).map(Some),
        });
        let (state, no_state) = match state {
            Ok(state) => (state, None),
            // It passes, and what is known must not be passed over meanwhile. On a full disk, nothing is known.
            Err(error)
                if scarcity::limit(&error).is_some()
                    && !matches!(
                        error.kind(),
                        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                    ) =>
            {
                return Err(error);
            }
            Err(error) => (None, Some(error.to_string())),
        };
        let in_state = self.is_indexed(key);
        if in_state && state.is_none() {
            let why = no_state.unwrap_or_else(|| "there is no folder for it: set HOME".to_owned());
            return Err(io::Error::other(format!(
                "the conversation cannot be kept: {why}"
            )));
        }
        Ok(Conversation {
            file: (!in_state).then(|| file_name(key)),
            folder,
            here,
            state,
            no_state,
            codex_home: self.codex_home.clone(),
            observer: self.observer.clone(),
            held: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    /// Waits until the conversation is this turn's alone, and loads what it goes on with if that is wanted.
    async fn locked(&self, key: &SessionKey, load: Load) -> Result<(Locked, Loaded), SessionError> {
        let (this, key) = (self.clone(), key.clone());
        // If there is nothing to wait for, one way to a thread that may block, and back: each costs time.
        let (locked, loaded) = blocking(move || {
            let conversation = this.open(&key, OpenState::OrMade)?;
            let lock = conversation.own_lock()?;
            let locked = Locked {
                conversation: Arc::new(conversation),
                syncs: this.syncs,
                lock,
            };
            let is_locked = lock::try_lock(locked.file(), locked.conversation.folder.path())?;
            let loaded = is_locked.then(|| locked.conversation.load_if(load));
            Ok::<_, SessionError>((locked, loaded.transpose()?))
        })
        .await?;
        if let Some(loaded) = loaded {
            return Ok((locked, loaded));
        }
        lock::wait(locked.file(), locked.conversation.folder.path()).await?;
        let conversation = Arc::clone(&locked.conversation);
        let loaded = blocking(move || conversation.load_if(load)).await?;
        Ok((locked, loaded))
    }
}

impl SessionStore for SessionFiles {
    fn acquire<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Acquired> {
        Box::pin(async move {
            let (locked, loaded) = self.locked(key, Load::Yes).await?;
            Ok(Acquired::new(locked, loaded))
        })
    }

    fn line(&self, key: &SessionKey) -> SessionKey {
        if self.is_indexed(key) {
            // It takes the lock of the workspace.
            SessionKey::of_workspace(&key.workspace)
        } else {
            key.clone()
        }
    }

    fn holder(&self, key: &SessionKey) -> Option<String> {
        self.is_indexed(key)
            .then(|| format!("another turn works in {}", key.workspace.display()))
    }
}

/// Whether to load what a conversation goes on with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Yes,
    No,
}

/// Whether to make the folder of the state if it is missing.
#[derive(Clone, Copy)]
enum OpenState {
    IfThere,
    OrMade,
}

/// A conversation that is this turn's alone until this is dropped.
struct Locked {
    conversation: Arc<Conversation>,
    syncs: Arc<Semaphore>,
    /// What is locked, unless it is the workspace's folder.
    lock: Option<File>,
}

impl Locked {
    fn file(&self) -> &File {
        self.lock
            .as_ref()
            .unwrap_or(self.conversation.folder.file())
    }
}

impl Session for Locked {
    fn lock(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file().as_fd())
    }

    fn save(&self, entry: SessionEntry) -> StoreFuture<'_, Vec<String>> {
        let conversation = Arc::clone(&self.conversation);
        let thread_id = entry.thread_id.clone();
        let syncs = Arc::clone(&self.syncs);
        Box::pin(async move {
            let saving = Arc::clone(&conversation);
            let saved = blocking(move || saving.save(&entry)).await?;
            if saved.claimed {
                // Nobody closes it.
                let sync = syncs.acquire_owned().await.map_err(io::Error::other)?;
                // Codex need not wait for this; the next turn does.
                tokio::task::spawn_blocking(move || {
                    conversation.sync(&thread_id);
                    drop((conversation, sync));
                });
            }
            Ok(saved.notices)
        })
    }

    fn set_aside(&self) -> StoreFuture<'_, ()> {
        let conversation = Arc::clone(&self.conversation);
        Box::pin(blocking(move || conversation.set_aside()))
    }
}

/// A conversation, its workspace held open.
struct Conversation {
    /// The session file's name; `None` if it is one of the index, and kept in the state alone.
    file: Option<String>,
    folder: Folder,
    /// Its place.
    here: Owner,
    state: Option<State>,
    /// Why there is no state, although there should be one.
    no_state: Option<String>,
    codex_home: Option<PathBuf>,
    observer: Option<Observer>,
    /// The thread that it goes on with, and what the state knows of it.
    held: Mutex<Option<(String, Thread)>>,
    /// A thread of another workspace that codex named, and that is not kept.
    refused: Mutex<Option<String>>,
}

impl Conversation {
    /// What to lock, unless it is the workspace's folder. That is the lock of the workspace's own conversation, of those
    /// that are kept in the state alone, and of all where there is no state.
    fn own_lock(&self) -> io::Result<Option<File>> {
        let named = self.here.session.is_some() && self.file.is_some();
        let state = self.state.as_ref().filter(|_| named);
        state.map(|state| state.lock_file(&self.here)).transpose()
    }

    /// Decides what to go on with. Changes nothing.
    fn decision(&self) -> io::Result<Decision> {
        let read = self.read_file();
        let named = match (&read, &self.state) {
            (Ok(Some(text)), Some(state)) => state.thread(text.trim(), &self.here)?,
            _ => Belongs::Unknown,
        };
        let latest = match &self.state {
            None => None,
            Some(state) => match state.latest(&self.here)? {
                None => None,
                Some(latest) => {
                    // In most turns it is the one that the file names.
                    let is_named =
                        matches!(&read, Ok(Some(text)) if text.trim() == latest.thread_id);
                    let belongs = if is_named {
                        named.clone()
                    } else {
                        state.thread(&latest.thread_id, &self.here)?
                    };
                    match belongs {
                        Belongs::Here(thread) => Some((latest, Some(thread))),
                        Belongs::Unknown => Some((latest, None)),
                        // A person gave it to another workspace, or this one is a copy.
                        Belongs::Nobody(_) | Belongs::Elsewhere(_) => None,
                    }
                }
            },
        };
        let found = match read {
            Ok(None) if self.file.is_none() => Found::NoFile,
            Ok(None) => Found::Nothing,
            Ok(Some(text)) => Found::Text(text),
            Err(error) if is_obstacle(&error) => Found::Obstacle(error.to_string()),
            Err(error) if latest.is_some() => Found::Unreadable(error.to_string()),
            Err(error) => return Err(error),
        };
        let known = Known {
            named,
            latest,
            says_when_born: self.here.folder.born.is_some(),
        };
        Ok(decide(found, known))
    }

    fn load_if(&self, load: Load) -> Result<Loaded, SessionError> {
        match load {
            Load::Yes => self.load(),
            Load::No => Ok(Loaded::default()),
        }
    }

    /// Decides what to go on with, and puts right what the decision found wrong.
    fn load(&self) -> Result<Loaded, SessionError> {
        if let (None, Some(state)) = (&self.file, &self.state) {
            // Only now: somebody else may have removed it while this turn waited.
            index::check(state, &self.here)?;
        }
        let mut decision = self.decision()?;
        let mut notices: Vec<String> = Vec::new();
        notices.extend(self.no_state.as_ref().map(|why| {
            format!("What is known of this conversation cannot be kept outside of the workspace, so the session file is believed: {why}.")
        }));
        if let Some(thread_id) = decision.thread_id.clone().filter(|_| decision.claims) {
            match self.claim(&thread_id, decision.known.clone(), Claim::IfFree) {
                Ok(Claimed::Here(_)) => {}
                // Between the two looks at it, a copy of this workspace was faster.
                Ok(Claimed::Elsewhere(_)) => decision = self.decision()?,
                Err(error) => notices.push(not_kept(&error)),
            }
        }
        if decision.file == decision::File::SetAside {
            let aside = self.set_file_aside();
            notices.extend(aside.err().map(|error| format!("{error}.")));
        }
        if let Some(thread_id) = &decision.thread_id
            && decision.file != decision::File::Stays
            && let Err(error) = self.write(thread_id)
        {
            notices.push(not_written(&error));
        }
        // Renamed, or on a file system that has got another number.
        if let (Some(thread_id), Some(known)) = (&decision.thread_id, &decision.known)
            && !decision.claims
            && known.owner.as_ref() != Some(&self.here)
        {
            let moved = self.claim(thread_id, Some(known.clone()), Claim::IfFree);
            notices.extend(moved.err().map(|error| not_kept(&error)));
        }
        let mut loaded = self.loaded(&decision);
        notices.extend(decision.notice);
        loaded.notices = notices;
        *self.held() = decision.thread_id.map(|thread_id| {
            let known = decision.known.unwrap_or_else(|| self.nothing_known());
            (thread_id, known)
        });
        Ok(loaded)
    }

    /// What a decision means for the component.
    fn loaded(&self, decision: &Decision) -> Loaded {
        let entry = decision.thread_id.clone().map(|thread_id| {
            let known = decision.known.as_ref();
            let totals = known.and_then(|known| {
                // Codex's record has grown: somebody else has gone on with the thread, or our last turn had no end.
                (self.rollout(&thread_id, known.rollout.as_ref()) == known.rollout)
                    .then_some(known.totals)?
            });
            SessionEntry {
                totals,
                instructions: known.and_then(|known| known.instructions.clone()),
                ..SessionEntry::new(thread_id)
            }
        });
        Loaded {
            entry,
            foreign: decision.foreign.clone(),
            notices: decision.notice.clone().into_iter().collect(),
        }
    }

    fn save(&self, entry: &SessionEntry) -> Result<Saved, SessionError> {
        let SessionEntry {
            thread_id,
            totals,
            instructions,
        } = entry;
        // What is saved must be loaded unchanged; white space at the ends, for example, would be lost.
        if !is_plain(thread_id) {
            let path = self
                .folder
                .path()
                .join(self.file.as_deref().unwrap_or_default());
            let why = "cannot hold this thread id, which is not a plain word of at most 128 bytes";
            return Err(refused(&path, why).into());
        }
        let known = Thread {
            owner: Some(self.here.clone()),
            totals: *totals,
            instructions: instructions.clone(),
            rollout: None,
            left_in_file: false,
        };
        if held(&self.refused).as_ref() == Some(thread_id) {
            return Ok(Saved::default());
        }
        let held = self.held().clone();
        match held.filter(|(held, _)| held.eq_ignore_ascii_case(thread_id)) {
            Some((_, before)) => self.keep(thread_id, known, &before),
            None => self.begin(thread_id, known),
        }
    }

    /// Keeps what is new of the thread that is already this conversation's.
    fn keep(
        &self,
        thread_id: &str,
        mut known: Thread,
        before: &Thread,
    ) -> Result<Saved, SessionError> {
        if known.totals.is_none()
            && before.rollout.is_some()
            && known.instructions == before.instructions
        {
            // Codex's record grows, so the old totals are not believed even if this process dies now.
            return Ok(Saved::default());
        }
        if known.totals.is_some() {
            known.rollout = self.rollout(thread_id, before.rollout.as_ref());
        }
        // The agent may have changed it or removed it. Rewriting what is there would cost a sync for nothing.
        let written = self.write_if_other(thread_id);
        let mut saved = Saved::default();
        match &self.state {
            Some(state) => {
                state.keep_thread(thread_id, &known)?;
                saved
                    .notices
                    .extend(written.err().map(|error| not_written(&error)));
            }
            None => written?,
        }
        *self.held() = Some((thread_id.to_owned(), known));
        Ok(saved)
    }

    /// Goes on with another thread than until now.
    fn begin(&self, thread_id: &str, known: Thread) -> Result<Saved, SessionError> {
        let mut notices = Vec::new();
        let claimed = match self.claim(thread_id, Some(known.clone()), Claim::IfFree) {
            Ok(Claimed::Here(claimed)) => claimed,
            Ok(Claimed::Elsewhere(owner)) => {
                *held(&self.refused) = Some(thread_id.to_owned());
                notices.push(format!(
                    "Codex named the thread {thread_id}, which belongs to the workspace {}. It is not kept here, and the next turn begins a new one.",
                    owner.display()
                ));
                return Ok(Saved {
                    notices,
                    claimed: false,
                });
            }
            // It is kept nowhere else.
            Err(error) if self.file.is_none() => return Err(error.into()),
            Err(error) => {
                notices.push(not_kept(&error));
                false
            }
        };
        match self.write_if_other(thread_id) {
            Ok(()) => {}
            // The conversation goes on without it.
            Err(error) if claimed => {
                self.leave_in_file()?;
                notices.push(not_written(&error));
            }
            Err(error) => return Err(error.into()),
        }
        if self.file.is_none() {
            // There is no file that would survive a crash of the machine.
            if let Some(state) = &self.state {
                state.sync(&self.here, thread_id)?;
            }
        } else if let Err(error) = git::exclude(self.folder.path()) {
            tracing::warn!(%error, "git may see the session file");
        }
        *self.held() = Some((thread_id.to_owned(), known));
        let claimed = claimed && self.file.is_some();
        Ok(Saved { notices, claimed })
    }

    /// What the session file names must not be gone on with, because it could not be replaced.
    fn leave_in_file(&self) -> io::Result<()> {
        let (Some(file), Ok(Some(named))) = (&self.file, self.read_file()) else {
            return Ok(());
        };
        if self.folder.remove(file).is_ok() {
            return Ok(());
        }
        if let Some(state) = &self.state
            && let Belongs::Here(mut thread) = state.thread(named.trim(), &self.here)?
        {
            thread.left_in_file = true;
            state.keep_thread(named.trim(), &thread)?;
        }
        Ok(())
    }

    /// Puts on the disk whose this thread is.
    fn sync(&self, thread_id: &str) {
        if let Some(state) = &self.state
            && let Err(error) = state.sync(&self.here, thread_id)
        {
            tracing::warn!(%error, "what is known of the conversation may not survive a crash of the machine");
        }
    }

    /// Makes a thread this place's, unless it is another's. Whether that is kept: not without a state.
    fn claim(&self, thread_id: &str, known: Option<Thread>, how: Claim) -> io::Result<Claimed> {
        let Some(state) = &self.state else {
            return Ok(Claimed::Here(false));
        };
        if !is_uuid(thread_id) {
            // No thread, so nothing is known of it; and the one before it is not gone on with.
            state.forget_latest(&self.here)?;
            return Ok(Claimed::Here(false));
        }
        let _claiming = state.claiming()?;
        let belongs = state.thread(thread_id, &self.here)?;
        if how == Claim::IfFree
            && let Belongs::Elsewhere(owner) = belongs
        {
            return Ok(Claimed::Elsewhere(owner));
        }
        let thread = Thread {
            owner: Some(self.here.clone()),
            left_in_file: false,
            ..known.unwrap_or_else(|| self.nothing_known())
        };
        let kept = state
            .keep_thread(thread_id, &thread)
            .and_then(|()| state.keep_latest(&self.here, thread_id));
        if let Err(error) = kept {
            // The old one must not stay: it would be taken for the truth.
            state.forget_latest(&self.here)?;
            return Err(error);
        }
        Ok(Claimed::Here(true))
    }

    /// Makes a thread this place's by order of a person; whose it was.
    fn adopt(&self, thread_id: &str) -> io::Result<Option<PathBuf>> {
        let before = match &self.state {
            Some(state) => state.thread(thread_id, &self.here)?,
            None => Belongs::Unknown,
        };
        let (known, owner) = match before {
            Belongs::Unknown => (None, None),
            Belongs::Here(known) | Belongs::Nobody(known) => (Some(known), None),
            // What it cost is not known here: its workspace may be in the middle of a turn.
            Belongs::Elsewhere(owner) => (None, Some(owner)),
        };
        self.claim(thread_id, known, Claim::Anyway)?;
        self.write_if_other(thread_id)?;
        if let Some(state) = &self.state {
            state.sync(&self.here, thread_id)?;
        }
        Ok(owner)
    }

    fn set_aside(&self) -> Result<(), SessionError> {
        let renamed = self.set_file_aside();
        let forgotten = self
            .state
            .as_ref()
            .map_or(Ok(()), |state| state.forget_latest(&self.here));
        *self.held() = None;
        match renamed {
            // It is known outside only.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.state.is_some() => {}
            renamed => renamed?,
        }
        Ok(forgotten?)
    }

    /// What the session file holds; `None` if there is none.
    fn read_file(&self) -> io::Result<Option<String>> {
        let file = self.file.as_deref();
        file.map_or(Ok(None), |file| self.folder.read(file, MAX_FILE_BYTES))
    }

    fn set_file_aside(&self) -> io::Result<()> {
        let file = self.file.as_deref();
        file.map_or(Ok(()), |file| self.folder.set_aside(file))
    }

    fn write_if_other(&self, thread_id: &str) -> io::Result<()> {
        let read = self.read_file();
        if matches!(read, Ok(Some(held)) if held == thread_id) {
            return Ok(());
        }
        self.write(thread_id)
    }

    fn write(&self, thread_id: &str) -> io::Result<()> {
        let step = |path: &Path, step| {
            if let Some(observer) = &self.observer {
                observer(path, step);
            }
        };
        let Some(file) = &self.file else {
            return Ok(());
        };
        self.folder
            .replace(file, thread_id.as_bytes(), Sync::Now, &step)
    }

    fn rollout(&self, thread_id: &str, known: Option<&Rollout>) -> Option<Rollout> {
        Rollout::now(self.codex_home.as_deref()?, thread_id, known)
    }

    fn nothing_known(&self) -> Thread {
        Thread {
            owner: Some(self.here.clone()),
            totals: None,
            instructions: None,
            rollout: None,
            left_in_file: false,
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<(String, Thread)>> {
        held(&self.held)
    }
}

/// What came of saving.
#[derive(Default)]
struct Saved {
    notices: Vec<String>,
    /// Whether the state has a new thread, which is not on the disk yet.
    claimed: bool,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which threads to claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// One that belongs to no other workspace that is still there.
    IfFree,
    /// Any.
    Anyway,
}

/// Whose a thread is after a claim.
enum Claimed {
    /// This place's, and whether that is known to the state.
    Here(bool),
    /// Another's.
    Elsewhere(PathBuf),
}

fn not_kept(error: &io::Error) -> String {
    format!(
        "What is known of this conversation could not be kept outside of the workspace: {error}."
    )
}

fn not_written(error: &io::Error) -> String {
    format!(
        "The session file could not be written, so only this user's hosts go on with the conversation here: {error}."
    )
}

/// The name of the file that holds the thread id of this conversation.
fn file_name(key: &SessionKey) -> String {
    match &key.session {
        None => SESSION_FILE.to_owned(),
        Some(session) => {
            let digest = format!("{:x}", Sha256::digest(session));
            // 128 bits: no two names share them.
            let digest = digest.get(..32).unwrap_or_default();
            format!("{SESSION_FILE}-{digest}")
        }
    }
}
