//! What is known of conversations outside of their workspaces: an agent may write anything into its workspace, and
//! workspaces are copied, committed and cleaned.
//!
//! It is in `$XDG_STATE_HOME/plexum-openai-provider`, which is this user's alone:
//!
//! - `threads/ID.json`: whose thread this is, and what it had cost and been told ([`Thread`]);
//! - `workspaces/DIGEST.json`: which thread a workspace goes on with ([`Latest`]). Its name is made from the folder's
//!   inode and age, not from its path, so that a workspace may be renamed;
//! - `sessions/ID.json`: a conversation that a client finds by an id of ours ([`index`](super::index));
//! - `locks/DIGEST`: keeps the turns of a conversation that has a name apart;
//! - `claims.lock`: held for the moment in which a thread becomes a workspace's;
//! - `sessions-DIGIT.lock`: held while a file in `sessions` whose name begins with this digit is written or removed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::contract::event::Usage;
use crate::contract::thread_id::is_uuid;
use crate::scarcity;
use crate::session::folder::{Folder, Identity, Sync, is_obstacle};
use crate::session::place::refused;
use crate::session::rollout::Rollout;

/// The name of the folder in `$XDG_STATE_HOME`.
const NAME: &str = "plexum-openai-provider";

/// Far more than a file of the state needs.
const MAX_BYTES: u64 = 64 * 1024;

/// A conversation's place: a workspace, and the caller's name for the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// Where the workspace was when this was written.
    #[serde(with = "text_or_bytes")]
    pub path: PathBuf,
    /// Which folder it is.
    #[serde(flatten)]
    pub folder: Identity,
    /// The name of the conversation; `None` is the workspace's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

impl Owner {
    /// Whether `other` is the same conversation's place, perhaps under another path, or after the file system has got
    /// another number.
    pub fn is(&self, other: &Self) -> bool {
        self.session == other.session && self.is_same_folder(other)
    }

    /// Whether `other` is in the same folder.
    pub fn is_same_folder(&self, other: &Self) -> bool {
        self.folder.looks_like(&other.folder)
            && (self.folder.device == other.folder.device || self.path == other.path)
    }

    /// Whether its folder is still there: where it was, or renamed beside that place or beside `here`. A folder that was
    /// moved further away is not found.
    fn exists(&self, here: &Self) -> bool {
        let is_it =
            |path: &Path| Identity::at(path).is_some_and(|found| found.looks_like(&self.folder));
        is_it(&self.path)
            || [&self.path, &here.path].iter().any(|path| {
                let beside = path
                    .parent()
                    .map(|parent| inodes(parent, self.folder.inode));
                beside.unwrap_or_default().iter().any(|path| is_it(path))
            })
    }
}

/// What is known of a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thread {
    /// Whose it is; `None` where a host wrote this that keeps no owners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Its running token totals at the end of our last turn in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Usage>,
    /// A digest of the instructions that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Codex's own record of it, as it was at the end of our last turn: if it has grown since, somebody else has gone on
    /// with the thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Whether its place went on with another thread whose id could not be written into the session file.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left_in_file: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

/// Which thread a place goes on with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latest {
    /// The place. Several that look alike share a file: a copy of a whole file system has the same inodes.
    #[serde(flatten)]
    pub owner: Owner,
    /// The thread.
    pub thread_id: String,
}

/// To whom a thread belongs.
#[derive(Debug, Clone, PartialEq)]
pub enum Belongs {
    /// Nobody knows.
    Unknown,
    /// To the place that asks.
    Here(Thread),
    /// To no place that is still there.
    Nobody(Thread),
    /// To another place, which is still there.
    Elsewhere(PathBuf),
}

/// The folder of the state, open.
#[derive(Debug)]
pub struct State(Folder);

impl State {
    /// Its folder.
    pub(super) fn folder(&self) -> &Folder {
        &self.0
    }
}

/// A lock of the state: nobody else has it meanwhile.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "it is held")] File);

impl State {
    /// Where it is, by the environment of this process; `None` if that names no place.
    pub fn default_path() -> Option<PathBuf> {
        let absolute = |name: &str| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        let folder = absolute("XDG_STATE_HOME").or_else(|| {
            let home = absolute("HOME")?;
            Some(home.join(".local/state"))
        })?;
        Some(folder.join(NAME))
    }

    /// Opens it, and makes what is missing of it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_or_make(path).map_err(|error| {
            let says_what_to_do = scarcity::limit(&error).is_some()
                || matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData
                );
            if says_what_to_do {
                return error;
            }
            let remedy =
                "repair that, or set XDG_STATE_HOME to a folder that this user can write to";
            io::Error::new(error.kind(), format!("{error}: {remedy}"))
        })
    }

    fn open_or_make(path: &Path) -> io::Result<Self> {
        let state = match Self::open_existing(path)? {
            Some(state) => state,
            None => State(Folder::make(path)?),
        };
        for folder in ["threads", "workspaces", "sessions", "locks"] {
            state.0.make_own_folder(folder)?;
        }
        Ok(state)
    }

    /// Opens it if it is there.
    pub fn open_existing(path: &Path) -> io::Result<Option<Self>> {
        let folder = match Folder::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let metadata = folder.file().metadata()?;
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me {
            let why = format!(
                "belongs to the user {}, and this is the user {me}: set XDG_STATE_HOME to a folder of this user's",
                metadata.uid()
            );
            return Err(refused(path, &why));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(refused(
                path,
                "can be written by others, so what it says cannot be relied on: take that permission away with `chmod go-w`",
            ));
        }
        Ok(Some(State(folder)))
    }

    /// To whom this thread belongs, as `here` sees it.
    pub fn thread(&self, thread_id: &str, here: &Owner) -> io::Result<Belongs> {
        let Some(thread) = self.read_thread(thread_id)? else {
            return Ok(Belongs::Unknown);
        };
        Ok(match &thread.owner {
            Some(owner) if owner.is(here) => Belongs::Here(thread),
            Some(owner) if owner.is_same_folder(here) || owner.exists(here) => {
                Belongs::Elsewhere(owner.path.clone())
            }
            _ => Belongs::Nobody(thread),
        })
    }

    fn read_thread(&self, thread_id: &str) -> io::Result<Option<Thread>> {
        let Some(name) = thread_file(thread_id) else {
            return Ok(None);
        };
        self.read(&name)
    }

    /// What a file of the state says. A damaged one, and whatever else is in its place, says nothing and is replaced.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let text = match self.0.read(name, MAX_BYTES) {
            Err(error) if is_obstacle(&error) => {
                tracing::warn!(%error, "something is in the place of a file of the state, which counts as missing");
                None
            }
            read => read?,
        };
        Ok(text.and_then(|text| {
            let read = serde_json::from_str(&text);
            read.inspect_err(|error| tracing::warn!(name, %error, "a file of the state is damaged and counts as missing"))
                .ok()
        }))
    }

    /// Keeps what is known of a thread. A crash may lose it; then its owner is still known by [`State::latest`].
    pub fn keep_thread(&self, thread_id: &str, thread: &Thread) -> io::Result<()> {
        let Some(name) = thread_file(thread_id) else {
            return Ok(());
        };
        // In its place, so that each turn costs little. Its owner comes first and mostly stays, so that who reads it at
        // this moment reads that.
        self.0.overwrite(&name, &serde_json::to_vec(thread)?)
    }

    /// The thread that this place went on with.
    pub fn latest(&self, here: &Owner) -> io::Result<Option<Latest>> {
        let all = self.read_latest(here)?;
        // No turn of ours has written anything else there.
        let is_one = |latest: &Latest| latest.owner.is(here) && is_uuid(&latest.thread_id);
        Ok(all.into_iter().find(is_one))
    }

    fn read_latest(&self, here: &Owner) -> io::Result<Vec<Latest>> {
        let name = latest_file(here);
        Ok(self.read(&name)?.unwrap_or_default())
    }

    /// Keeps which thread this place goes on with.
    pub fn keep_latest(&self, here: &Owner, thread_id: &str) -> io::Result<()> {
        let mut all = self.others(here)?;
        all.push(Latest {
            owner: here.clone(),
            thread_id: thread_id.to_owned(),
        });
        self.write_latest(here, &all)
    }

    /// Forgets which thread this place went on with. The thread stays this place's.
    pub fn forget_latest(&self, here: &Owner) -> io::Result<()> {
        let others = self.others(here)?;
        if others.is_empty() {
            // On a full disk too.
            return self.0.clear(&latest_file(here));
        }
        self.write_latest(here, &others)
    }

    /// The places that look like this one and are others.
    fn others(&self, here: &Owner) -> io::Result<Vec<Latest>> {
        let mut all = self.read_latest(here)?;
        all.retain(|latest| !latest.owner.is(here) && latest.owner.exists(here));
        Ok(all)
    }

    fn write_latest(&self, here: &Owner, all: &[Latest]) -> io::Result<()> {
        let content = serde_json::to_vec(all)?;
        self.0
            .replace(&latest_file(here), &content, Sync::Later, &|_, _| {})
    }

    /// Puts on the disk whose this thread is.
    pub fn sync(&self, here: &Owner, thread_id: &str) -> io::Result<()> {
        self.0.sync(&latest_file(here))?;
        thread_file(thread_id).map_or(Ok(()), |name| self.0.sync(&name))
    }

    /// Waits until nobody else claims a thread, and keeps others from it.
    pub fn claiming(&self) -> io::Result<Held> {
        self.held("claims.lock")
    }

    /// Waits until nobody else writes or removes the file of this id in `sessions`, and keeps others from it. Ids that
    /// begin alike share a lock: one for each would stay behind, and one for all would have all wait for each other's
    /// sync.
    pub fn writing_session(&self, id: &str) -> io::Result<Held> {
        let digit = id.get(..1).unwrap_or_default();
        self.held(&format!("sessions-{digit}.lock"))
    }

    fn held(&self, name: &str) -> io::Result<Held> {
        let file = self.0.lock_file(name)?;
        file.lock()?;
        Ok(Held(file))
    }

    /// The file to lock for a conversation that has a name.
    pub fn lock_file(&self, here: &Owner) -> io::Result<File> {
        let mut name = Sha256::new();
        name.update(here.folder.inode.to_le_bytes());
        name.update(here.session.as_deref().unwrap_or_default());
        self.0.lock_file(&format!("locks/{}", short(name)))
    }
}

/// What has this inode in a folder; looks at nothing else.
fn inodes(folder: &Path, inode: u64) -> Vec<PathBuf> {
    use std::os::unix::fs::DirEntryExt;
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let same = entries.filter(|entry| entry.ino() == inode);
    same.map(|entry| entry.path()).collect()
}

fn thread_file(thread_id: &str) -> Option<String> {
    is_uuid(thread_id).then(|| format!("threads/{}.json", thread_id.to_ascii_lowercase()))
}

fn latest_file(place: &Owner) -> String {
    format!("workspaces/{}.json", digest(place))
}

/// A name for a place that stays when its folder is renamed or its file system gets another number.
fn digest(place: &Owner) -> String {
    let mut digest = Sha256::new();
    digest.update(place.folder.inode.to_le_bytes());
    digest.update(place.folder.born.unwrap_or_default().to_le_bytes());
    if let Some(session) = &place.session {
        digest.update([1]);
        digest.update(session);
    }
    short(digest)
}

/// 128 bits: no two names share them.
fn short(digest: Sha256) -> String {
    let digest = format!("{:x}", digest.finalize());
    digest.get(..32).unwrap_or_default().to_owned()
}

/// A path as a text, or as bytes where it is none.
mod text_or_bytes {
    use super::{OsStr, OsStrExt, OsString, OsStringExt, Path, PathBuf};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(PathBuf),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(serializer),
            None => OsStr::as_bytes(path.as_os_str()).serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(path) => path,
            Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}
