//! Where the id of a conversation is kept between turns.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use crate::contract::event::Usage;
use crate::scarcity;

/// Which conversation is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SessionKey {
    /// The folder that codex works in.
    pub workspace: PathBuf,
    /// The caller's name for the conversation, [`Request::session`](crate::Request::session); `None` is the workspace's
    /// own.
    pub session: Option<String>,
}

impl SessionKey {
    /// The workspace's own conversation.
    pub fn of_workspace(workspace: impl Into<PathBuf>) -> Self {
        Self::new(workspace, None)
    }

    /// A conversation of this workspace.
    pub fn new(workspace: impl Into<PathBuf>, session: Option<String>) -> Self {
        SessionKey {
            workspace: workspace.into(),
            session,
        }
    }
}

/// What is kept for a conversation. Begin with [`SessionEntry::new`] and set the other fields.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionEntry {
    /// The conversation, as codex names it.
    pub thread_id: String,
    /// Its running token totals at the end of its latest turn; `None` when not known.
    pub totals: Option<Usage>,
    /// A digest of the instructions that it began with; `None` when not known.
    pub instructions: Option<String>,
}

impl SessionEntry {
    /// A conversation of which nothing else is known.
    pub fn new(thread_id: impl Into<String>) -> Self {
        SessionEntry {
            thread_id: thread_id.into(),
            totals: None,
            instructions: None,
        }
    }
}

/// What kind of error a store met. Each has a failure of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionErrorKind {
    /// Another turn is using the conversation.
    Busy,
    /// Another machine has gone on with the conversation since this turn began.
    Moved,
    /// What was kept is gone.
    Lost,
    /// What is kept is damaged, or cannot be read or written.
    Unreadable,
    /// The store does not answer.
    Unavailable,
    /// This machine has run out of something, such as room on a disk.
    Resources,
    /// The host does not allow it.
    Denied,
}

/// Why a store could not do what it was asked. Its text is shown: name the place, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SessionError {
    /// What kind it is.
    pub kind: SessionErrorKind,
    /// A sentence for a person.
    pub message: String,
}

impl SessionError {
    /// An error of this kind.
    pub fn new(kind: SessionErrorKind, message: impl Into<String>) -> Self {
        SessionError {
            kind,
            message: message.into(),
        }
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind;
        let scarce = scarcity::limit(&error).is_some();
        let kind = match error.kind() {
            _ if scarce => SessionErrorKind::Resources,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory => {
                SessionErrorKind::Resources
            }
            ErrorKind::TimedOut
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::NotConnected
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown => SessionErrorKind::Unavailable,
            ErrorKind::ResourceBusy => SessionErrorKind::Busy,
            _ => SessionErrorKind::Unreadable,
        };
        Self::new(kind, error.to_string())
    }
}

/// What the methods of a [`SessionStore`] return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionError>> + Send + 'a>>;

/// What a conversation goes on with.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Loaded {
    /// What is kept; `None` if no conversation has begun.
    pub entry: Option<SessionEntry>,
    /// A thread that is named where this conversation's should be, and that is another's. It is not resumed.
    pub foreign: Option<String>,
    /// What a person should know about this, each in a sentence. The component reports them as notices.
    pub notices: Vec<String>,
}

impl From<Option<SessionEntry>> for Loaded {
    fn from(entry: Option<SessionEntry>) -> Self {
        Loaded {
            entry,
            ..Loaded::default()
        }
    }
}

/// A conversation that nobody else uses while this lives.
///
/// An error of any of its methods but [`save`](Self::save) at the end of a turn ends the turn before the model is asked.
pub trait Session: Send + Sync + 'static {
    /// The file or folder whose lock (`flock(2)`) keeps others out, if there is one. Codex's supervisor then holds the
    /// lock too, so that others are kept out until codex is gone, even if this process is killed.
    fn lock(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What is kept for this conversation.
    fn load(&self) -> StoreFuture<'_, Loaded>;

    /// Keeps `entry`. When this returns, a crash of the machine does not lose its thread id; a crash before
    /// that leaves what was kept before, whole. The rest may be lost: it is then not known.
    ///
    /// Returns what a person should know, each in a sentence.
    fn save(&self, entry: SessionEntry) -> StoreFuture<'_, Vec<String>>;

    /// Moves what is kept out of the way, to where a person can still find it.
    fn set_aside(&self) -> StoreFuture<'_, ()>;
}

/// Keeps one small record per conversation. [`SessionFiles`](crate::SessionFiles) keeps it on this machine; a runtime
/// whose workspaces move between machines brings its own.
pub trait SessionStore: Send + Sync + 'static {
    /// Waits until no other turn of this conversation runs, on any machine, and keeps others out until what it returns
    /// is dropped. The caller gives up by dropping the future.
    fn lock<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Arc<dyn Session>>;
}

/// For `describe`, which has no workspace and so nothing to keep.
pub(crate) struct NoSession;

impl NoSession {
    fn refused<T: Send + 'static>() -> StoreFuture<'static, T> {
        Box::pin(std::future::ready(Err(SessionError::new(
            SessionErrorKind::Denied,
            "there is no session outside of a turn",
        ))))
    }
}

impl Session for NoSession {
    fn load(&self) -> StoreFuture<'_, Loaded> {
        Self::refused()
    }

    fn save(&self, _: SessionEntry) -> StoreFuture<'_, Vec<String>> {
        Self::refused()
    }

    fn set_aside(&self) -> StoreFuture<'_, ()> {
        Self::refused()
    }
}
