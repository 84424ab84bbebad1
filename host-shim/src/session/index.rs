//! The conversations that a client finds by an id of ours, such as those of an editor: each has a file
//! `sessions/ID.json` in the state. The id is the conversation's name ([`Request::session`](crate::Request::session)); what
//! it goes on with is kept with that, and here is only which folder it works in, and what to show of it in a list.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::contract::thread_id::is_uuid;
use crate::session::folder::{Folder, Sync};
use crate::session::place::{at, blocking};
use crate::session::state::{Owner, State, is_false};
use crate::session::store::{SessionError, SessionErrorKind};

/// The folder of these files in the state.
const FOLDER: &str = "sessions";

/// For how long a conversation is kept in which nothing was said.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The longest title, in characters.
const TITLE_CHARS: usize = 80;

/// A conversation that has an id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IndexedSession {
    /// Its id, a UUID.
    pub id: String,
    /// Its folder, where it was when this was written.
    #[serde(flatten)]
    owner: Owner,
    /// When it was last used, RFC 3339 in UTC.
    pub updated: String,
    /// The first line of what it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether the model has been asked in it, and so has something to remember.
    #[serde(default, skip_serializing_if = "is_false")]
    pub begun: bool,
    /// The model that was chosen for it, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The effort that was chosen for it, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
}

impl IndexedSession {
    /// The folder that it works in.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        &self.owner.path
    }

    /// Whether somebody has said something in it. One that was only opened has nothing to go on with.
    fn is_used(&self) -> bool {
        self.begun || self.title.is_some()
    }

    fn is_older_than(&self, age: Duration) -> bool {
        let updated = humantime::parse_rfc3339(&self.updated);
        // One of the future is not.
        updated.is_ok_and(|updated| updated.elapsed().is_ok_and(|elapsed| elapsed > age))
    }

    /// Its place in a list: the one that was used last comes first.
    fn place(&self) -> Place<'_> {
        (Reverse(&self.updated), &self.id)
    }

    /// Its place, to go on with after it.
    fn cursor(&self) -> String {
        format!("{}/{}", self.updated, self.id)
    }
}

/// A place in a list: when a conversation was last used, and its id.
type Place<'a> = (Reverse<&'a str>, &'a str);

/// The place that a cursor names.
fn place(cursor: &str) -> Option<Place<'_>> {
    let (updated, id) = cursor.split_once('/')?;
    let is_one = humantime::parse_rfc3339(updated).is_ok() && is_uuid(id);
    is_one.then_some((Reverse(updated), id))
}

/// Some of the conversations in a list.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionPage {
    /// The conversations, in order.
    pub sessions: Vec<IndexedSession>,
    /// What the next page is to begin after; `None` if this is the last one.
    pub next: Option<String>,
}

/// The conversations of this user that have an id. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionIndex {
    state: PathBuf,
}

impl SessionIndex {
    /// The folder of the state that it is in.
    pub(super) fn state_folder(&self) -> &Path {
        &self.state
    }

    /// The one in `$XDG_STATE_HOME/plexum-openai-provider` (`~/.local/state/…`); `None` if the environment names no place.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        State::default_path().map(Self::in_folder)
    }

    /// One in this folder of the state, which must be this user's alone.
    pub fn in_folder(state: impl Into<PathBuf>) -> Self {
        SessionIndex {
            state: state.into(),
        }
    }

    /// A new conversation in this folder. When this returns, a crash of the machine does not lose it.
    ///
    /// # Errors
    /// If the workspace is not a folder, or nothing can be written.
    pub async fn create(
        &self,
        workspace: impl Into<PathBuf>,
    ) -> Result<IndexedSession, SessionError> {
        let (this, workspace) = (self.clone(), workspace.into());
        blocking(move || {
            let id = new_id()?;
            let session = IndexedSession {
                owner: this.owner(&workspace, &id)?,
                id,
                updated: now(),
                title: None,
                begun: false,
                model: None,
                effort: None,
            };
            // Nobody else knows the id yet.
            write(&State::open(&this.state)?, &session)?;
            Ok(session)
        })
        .await
    }

    /// The conversation of this id, which is to go on in this folder. It may have been renamed.
    ///
    /// # Errors
    /// [`SessionErrorKind::Lost`] if there is none, or if its folder is gone and another one has taken its place;
    /// [`SessionErrorKind::Denied`] if it works in another folder; other kinds if nothing can be read.
    pub async fn find(
        &self,
        id: &str,
        workspace: impl Into<PathBuf>,
    ) -> Result<IndexedSession, SessionError> {
        let (this, id, workspace) = (self.clone(), id.to_owned(), workspace.into());
        blocking(move || {
            let state = State::open_existing(&this.state)?.ok_or_else(|| unknown(&id))?;
            let here = this.owner(&workspace, &id)?;
            let found = check(&state, &here)?;
            if found.owner == here {
                return Ok(found);
            }
            this.change_blocking(&id, |session| session.owner = here)
        })
        .await
    }

    /// Changes what is kept of a conversation, and notes that it was used now. Whatever else has been kept since, by any
    /// process, stays. A crash of the machine leaves what was kept before, or this.
    ///
    /// # Errors
    /// [`SessionErrorKind::Lost`] if it has been removed; other kinds if nothing can be written.
    pub async fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut IndexedSession) + Send + 'static,
    ) -> Result<IndexedSession, SessionError> {
        let (this, id) = (self.clone(), id.to_owned());
        blocking(move || {
            this.change_blocking(&id, |session| {
                change(session);
                session.updated = now();
            })
        })
        .await
    }

    /// Those in which something was said, or only those of one folder; the one that was used last comes first. At most
    /// `most` of them, and only what comes after that page of which `after` is the [`SessionPage::next`].
    ///
    /// # Errors
    /// [`SessionErrorKind::Denied`] if `after` is of no page; other kinds if they cannot be read.
    pub async fn page(
        &self,
        workspace: Option<PathBuf>,
        after: Option<String>,
        most: usize,
    ) -> Result<SessionPage, SessionError> {
        let this = self.clone();
        blocking(move || {
            let after = match &after {
                None => None,
                Some(after) => Some(place(after).ok_or_else(|| {
                    let message = "this is not the cursor of a page: list again without one";
                    SessionError::new(SessionErrorKind::Denied, message)
                })?),
            };
            let mut found = this.used(workspace.as_deref())?;
            found.retain(|session| after.is_none_or(|after| session.place() > after));
            found.sort_by(|one, other| one.place().cmp(&other.place()));
            let is_last = found.len() <= most;
            found.truncate(most);
            let last = found.last().filter(|_| !is_last);
            Ok(SessionPage {
                next: last.map(IndexedSession::cursor),
                sessions: found,
            })
        })
        .await
    }

    /// Forgets a conversation; that there is none is fine. `known` is what the caller knows of it, if it does. What codex
    /// keeps of it stays with codex; and whose its thread was stays known, so that no other folder takes it.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub async fn remove(
        &self,
        id: &str,
        known: Option<IndexedSession>,
    ) -> Result<(), SessionError> {
        let (this, id) = (self.clone(), id.to_owned());
        blocking(move || {
            let state = State::open_existing(&this.state)?;
            let (Some(name), Some(state)) = (file_name(&id), state) else {
                return Ok(());
            };
            let _writing = state.writing_session(&id)?;
            // Before the file, without which nobody knows what to forget.
            if let Some(session) = read(&state, &id)?.or(known) {
                state.forget_latest(&session.owner)?;
            }
            Ok(state.folder().clear(&name)?)
        })
        .await
    }

    /// Those in which something was said, or only those of one folder. What was opened long ago, and never used, is
    /// removed: editors begin many that nobody goes on with.
    fn used(&self, workspace: Option<&Path>) -> io::Result<Vec<IndexedSession>> {
        let Some(state) = State::open_existing(&self.state)? else {
            return Ok(Vec::new());
        };
        let folder = self.state.join(FOLDER);
        let files = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(&folder, "cannot be listed", error)),
            Ok(files) => files,
        };
        // The same for all of them, but for their names.
        let here = match workspace.map(|workspace| self.owner(workspace, "")) {
            None => None,
            // It has none.
            Some(Err(_)) => return Ok(Vec::new()),
            Some(Ok(here)) => Some(here),
        };
        let mut found = Vec::new();
        for file in files {
            let name = file?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            let Some(id) = id else { continue };
            // What cannot be read is no conversation to go on with.
            let Ok(Some(session)) = read(&state, id) else {
                continue;
            };
            if !session.is_used() {
                if session.is_older_than(UNUSED)
                    && let Err(error) = self.remove_if_unused(&state, id)
                {
                    tracing::warn!(%error, "an unused session cannot be removed");
                }
                continue;
            }
            if here
                .as_ref()
                .is_none_or(|here| here.is_same_folder(&session.owner))
            {
                found.push(session);
            }
        }
        Ok(found)
    }

    /// Removes what was never used, also until this moment.
    fn remove_if_unused(&self, state: &State, id: &str) -> io::Result<()> {
        let Some(name) = file_name(id) else {
            return Ok(());
        };
        let _writing = state.writing_session(id)?;
        match read(state, id)? {
            Some(session) if !session.is_used() && session.is_older_than(UNUSED) => {
                state.folder().remove(&name)
            }
            _ => Ok(()),
        }
    }

    fn owner(&self, workspace: &Path, id: &str) -> io::Result<Owner> {
        Ok(Owner {
            path: std::path::absolute(workspace)?,
            folder: Folder::open(workspace)?.identity()?,
            session: Some(id.to_owned()),
        })
    }

    fn change_blocking(
        &self,
        id: &str,
        change: impl FnOnce(&mut IndexedSession),
    ) -> Result<IndexedSession, SessionError> {
        let state = State::open_existing(&self.state)?;
        let (Some(_), Some(state)) = (file_name(id), state) else {
            return Err(unknown(id));
        };
        let _writing = state.writing_session(id)?;
        let mut session = read_known(&state, id)?;
        change(&mut session);
        write(&state, &session)?;
        Ok(session)
    }
}

/// The conversation whose place this is.
///
/// # Errors
/// As [`SessionIndex::find`] says.
pub(super) fn check(state: &State, here: &Owner) -> Result<IndexedSession, SessionError> {
    let id = here.session.as_deref().unwrap_or_default();
    let found = read_known(state, id)?;
    if here.is(&found.owner) {
        return Ok(found);
    }
    let (wanted, place) = (here.path.display(), found.owner.path.display());
    Err(if here.path == found.owner.path {
        let message = format!(
            "another folder has taken the place of {wanted}, in which the session {id} worked: begin a new session there"
        );
        SessionError::new(SessionErrorKind::Lost, message)
    } else {
        let message = format!(
            "the session {id} works in the folder {place}, and not in {wanted}: resume it there"
        );
        SessionError::new(SessionErrorKind::Denied, message)
    })
}

/// The conversation of this id.
///
/// # Errors
/// [`SessionErrorKind::Lost`] if there is none, [`SessionErrorKind::Unreadable`] if what is kept of it is damaged.
fn read_known(state: &State, id: &str) -> Result<IndexedSession, SessionError> {
    if let Some(found) = read(state, id)? {
        return Ok(found);
    }
    let path = file_name(id).map(|name| state.folder().path().join(name));
    let Some(path) = path.filter(|path| path.symlink_metadata().is_ok()) else {
        return Err(unknown(id));
    };
    let message = format!(
        "what is kept of the session {id} in {} is damaged: restore that file, or begin a new session",
        path.display()
    );
    Err(SessionError::new(SessionErrorKind::Unreadable, message))
}

fn unknown(id: &str) -> SessionError {
    let message =
        format!("there is no session {id:?} of this user on this machine: begin a new one");
    SessionError::new(SessionErrorKind::Lost, message)
}

/// Without this file, the conversation is not found again: it is replaced, and never written to.
fn write(state: &State, session: &IndexedSession) -> io::Result<()> {
    let content = serde_json::to_vec(session)?;
    let name = file_name(&session.id).ok_or(io::ErrorKind::InvalidInput)?;
    state
        .folder()
        .replace(&name, &content, Sync::Now, &|_, _| {})
}

/// The conversation of this id, if there is one.
fn read(state: &State, id: &str) -> io::Result<Option<IndexedSession>> {
    let Some(name) = file_name(id) else {
        return Ok(None);
    };
    let found: Option<IndexedSession> = state.read(&name)?;
    Ok(found.filter(|session| session.id == id))
}

/// Where a conversation is kept in the state; `None` unless this is an id in lower case, as we write them.
fn file_name(id: &str) -> Option<String> {
    let is_id = is_uuid(id) && !id.contains(|letter: char| letter.is_ascii_uppercase());
    is_id.then(|| format!("{FOLDER}/{id}.json"))
}

/// A new id: a UUID of version 4, RFC 9562.
fn new_id() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let mut id = u128::from_be_bytes(bytes);
    // The version, and the variant.
    id = id & !(0xf << 76) | 4 << 76;
    id = id & !(0b11 << 62) | 0b10 << 62;
    let digits = format!("{id:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let parts = [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ];
    Ok(parts.join("-"))
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// The first line of a text that says something, shortened, as the title of a conversation.
#[must_use]
pub fn title(prompt: &str) -> Option<String> {
    let line = prompt
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    let words: Vec<&str> = line
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    Some(match line.char_indices().nth(TITLE_CHARS) {
        None => line,
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default().trim_end()),
    })
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    fn index() -> (tempfile::TempDir, SessionIndex) {
        let folder = tempfile::tempdir().unwrap();
        let index = SessionIndex::in_folder(folder.path().join("state"));
        std::fs::create_dir(folder.path().join("w")).unwrap();
        (folder, index)
    }

    async fn begun(index: &SessionIndex, session: &IndexedSession) -> IndexedSession {
        let changed = index.change(&session.id, |session| session.begun = true);
        changed.await.unwrap()
    }

    async fn listed(index: &SessionIndex, workspace: Option<PathBuf>) -> Vec<IndexedSession> {
        let page = index.page(workspace, None, 100).await.unwrap();
        assert_eq!(page.next, None);
        page.sessions
    }

    #[test]
    fn ids_are_uuids_of_version_4_and_differ() {
        let (one, other) = (new_id().unwrap(), new_id().unwrap());
        assert_ne!(one, other);
        for id in [one, other] {
            assert!(is_uuid(&id), "{id}");
            assert_eq!(id.as_bytes()[14], b'4', "{id}");
            assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
        }
    }

    #[tokio::test]
    async fn what_was_created_is_found_also_when_its_folder_was_renamed() {
        let (folder, index) = index();
        let workspace = folder.path().join("w");
        let created = index.create(&workspace).await.unwrap();
        assert_eq!(index.find(&created.id, &workspace).await.unwrap(), created);
        let renamed = folder.path().join("renamed");
        std::fs::rename(&workspace, &renamed).unwrap();
        let found = index.find(&created.id, &renamed).await.unwrap();
        assert_eq!(found.workspace(), renamed);
        let used = begun(&index, &found).await;
        assert_eq!(listed(&index, Some(renamed)).await, [used]);
    }

    #[tokio::test]
    async fn what_is_unknown_or_works_elsewhere_is_an_error_of_its_own_kind() {
        let (folder, index) = index();
        let workspace = folder.path().join("w");
        let created = index.create(&workspace).await.unwrap();
        for unknown in ["", "../state", "01a2b3c4-0000-7000-8000-000000000001"] {
            let error = index.find(unknown, &workspace).await.unwrap_err();
            assert_eq!(error.kind, SessionErrorKind::Lost, "{unknown}: {error}");
        }
        let damaged = index.create(&workspace).await.unwrap();
        let record = index.state.join(file_name(&damaged.id).unwrap());
        for content in ["", "{\"id\":", "{}"] {
            std::fs::write(&record, content).unwrap();
            let error = index.find(&damaged.id, &workspace).await.unwrap_err();
            assert_eq!(
                error.kind,
                SessionErrorKind::Unreadable,
                "{content}: {error}"
            );
            assert!(error.message.contains(record.to_str().unwrap()), "{error}");
        }
        let elsewhere = folder.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        let error = index.find(&created.id, &elsewhere).await.unwrap_err();
        assert_eq!(error.kind, SessionErrorKind::Denied, "{error}");
        let error = index.create(folder.path().join("no")).await.unwrap_err();
        assert!(error.message.contains("/no"), "{error}");
    }

    #[tokio::test]
    async fn the_one_that_was_used_last_comes_first_and_has_the_title_of_its_first_prompt() {
        let (folder, index) = index();
        let workspace = folder.path().join("w");
        let first = index.create(&workspace).await.unwrap();
        let second = index.create(&workspace).await.unwrap();
        let used = index.change(&first.id, |session| {
            session.title = title("\n  mend \t it \nplease");
        });
        let used = used.await.unwrap();
        assert_eq!(used.title.as_deref(), Some("mend it"));
        // Nobody has said anything in the second.
        assert_eq!(listed(&index, None).await, slice::from_ref(&used));
        let mut second = begun(&index, &second).await;
        while second.updated == used.updated {
            second = begun(&index, &second).await;
        }
        assert_eq!(listed(&index, None).await, [second.clone(), used.clone()]);
        // What is damaged is left out.
        let file = folder
            .path()
            .join(format!("state/sessions/{}.json", second.id));
        std::fs::write(file, "{").unwrap();
        assert_eq!(listed(&index, None).await, [used]);
    }

    #[tokio::test]
    async fn pages_have_each_conversation_once_also_when_one_is_used_meanwhile() {
        let (folder, index) = index();
        let mut sessions = Vec::new();
        for _ in 0..5 {
            let created = index.create(folder.path().join("w")).await.unwrap();
            sessions.push(begun(&index, &created).await);
        }
        let first = index.page(None, None, 2).await.unwrap();
        let ids = |page: &SessionPage| -> Vec<String> {
            page.sessions
                .iter()
                .map(|session| session.id.clone())
                .collect()
        };
        let mut expected: Vec<String> = sessions.iter().map(|session| session.id.clone()).collect();
        let mut found = ids(&first);
        // The last of all comes first now.
        let oldest = sessions
            .iter()
            .max_by_key(|session| (session.place().0, session.place().1));
        let cursor = first.next.clone().unwrap();
        while begun(&index, oldest.unwrap()).await.updated == place(&cursor).unwrap().0.0 {}
        expected.retain(|id| *id != oldest.unwrap().id);
        let mut next = first.next;
        while let Some(after) = next {
            let page = index.page(None, Some(after), 2).await.unwrap();
            found.extend(ids(&page));
            next = page.next;
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        for after in ["", "2", "x/y", "2026-11-27T00:00:00.000Z/x"] {
            let error = index.page(None, Some(after.into()), 2).await.unwrap_err();
            assert_eq!(error.kind, SessionErrorKind::Denied, "{after}");
        }
    }

    #[tokio::test]
    async fn what_was_never_used_is_removed_after_a_month() {
        let (folder, index) = index();
        let workspace = folder.path().join("w");
        let unused = index.create(&workspace).await.unwrap();
        let recent = index.create(&workspace).await.unwrap();
        let used = index.create(&workspace).await.unwrap();
        let used = begun(&index, &used).await;
        let old = |session: IndexedSession, days: u64| {
            let then = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
            let then = humantime::format_rfc3339_millis(then).to_string();
            let changed = index.change_blocking(&session.id, |session| session.updated = then);
            changed.unwrap()
        };
        let (unused, recent, used) = (old(unused, 31), old(recent, 29), old(used, 31));
        assert_eq!(listed(&index, None).await, slice::from_ref(&used));
        for (session, is_kept) in [(unused, false), (recent, true), (used, true)] {
            let found = index.find(&session.id, &workspace).await;
            assert_eq!(found.is_ok(), is_kept, "{session:?}");
        }
    }

    #[tokio::test]
    async fn what_was_removed_stays_away() {
        let (folder, index) = index();
        let workspace = folder.path().join("w");
        let session = index.create(&workspace).await.unwrap();
        let session = begun(&index, &session).await;
        let state = State::open(&folder.path().join("state")).unwrap();
        let thread = "01a2b3c4-0000-7000-8000-000000000001";
        state.keep_latest(&session.owner, thread).unwrap();
        for id in [&session.id, &session.id, "", "../state"] {
            index.remove(id, None).await.unwrap();
        }
        assert_eq!(state.latest(&session.owner).unwrap(), None);
        let error = index.change(&session.id, |_| {}).await.unwrap_err();
        assert_eq!(error.kind, SessionErrorKind::Lost);
        assert_eq!(listed(&index, None).await, []);
        let error = index.find(&session.id, &workspace).await.unwrap_err();
        assert_eq!(error.kind, SessionErrorKind::Lost);
        // A turn that still ran has kept its thread.
        state.keep_latest(&session.owner, thread).unwrap();
        let id = session.id.clone();
        index.remove(&id, Some(session.clone())).await.unwrap();
        assert_eq!(state.latest(&session.owner).unwrap(), None);
    }

    #[tokio::test]
    async fn two_that_change_a_conversation_keep_what_the_other_has_changed() {
        let (folder, index) = index();
        let created = index.create(folder.path().join("w")).await.unwrap();
        let other = index.clone();
        let titled = index.change(&created.id, |session| session.title = title("x"));
        let chosen = other.change(&created.id, |session| session.model = Some("m".into()));
        let begun = begun(&index, &created);
        let (titled, chosen, _) = tokio::join!(titled, chosen, begun);
        titled.and(chosen).unwrap();
        let found = index
            .find(&created.id, folder.path().join("w"))
            .await
            .unwrap();
        let kept = (found.title.as_deref(), found.model.as_deref(), found.begun);
        assert_eq!(kept, (Some("x"), Some("m"), true));
    }

    #[test]
    fn a_title_is_short() {
        assert_eq!(title("  \n\t"), None);
        let long = title(&"ö".repeat(200)).unwrap();
        assert_eq!(long.chars().count(), TITLE_CHARS + 1);
    }
}
