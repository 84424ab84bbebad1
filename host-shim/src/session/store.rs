//! Where the id of a conversation is kept between turns.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use crate::contract::event::Usage;
use crate::scarcity;
use crate::telemetry::fleet::FleetMetrics;

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
    /// The conversation is larger than the store accepts.
    TooLarge,
    /// The codex of this machine may not go on with the conversation.
    Incompatible,
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

/// What a [`SessionStore`] hands over for a turn.
#[non_exhaustive]
pub struct Acquired {
    /// The conversation, which is this turn's alone.
    pub session: Arc<dyn Session>,
    /// What it goes on with.
    pub loaded: Loaded,
}

impl Acquired {
    /// A conversation, and what it goes on with.
    pub fn new(session: impl Session, loaded: impl Into<Loaded>) -> Self {
        Acquired {
            session: Arc::new(session),
            loaded: loaded.into(),
        }
    }
}

/// What [`Session::lost`] returns.
pub type LostFuture<'a> = Pin<Box<dyn Future<Output = SessionError> + Send + 'a>>;

/// A conversation that nobody else uses while this lives, unless it says that it is [`lost`](Self::lost).
///
/// An error of `save` or `set_aside` ends the turn, before the model is asked, but for a `save` at the end of the turn, whose
/// error is told.
pub trait Session: Send + Sync + 'static {
    /// The file or folder whose lock (`flock(2)`) keeps others out, if there is one. Codex's supervisor then holds the
    /// lock too, so that others are kept out until codex is gone, even if this process is killed.
    fn lock(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Keeps `entry`. When this returns, a crash of the machine does not lose its thread id; a crash before
    /// that leaves what was kept before, whole. The rest may be lost: it is then not known.
    ///
    /// Returns what a person should know, each in a sentence.
    fn save(&self, entry: SessionEntry) -> StoreFuture<'_, Vec<String>>;

    /// Moves what is kept out of the way, to where a person can still find it.
    fn set_aside(&self) -> StoreFuture<'_, ()>;

    /// Waits until others may have this conversation although the turn still runs, and returns why. Codex is then stopped,
    /// within the grace period, and the turn ends with the failure of that error. None if that cannot happen.
    fn lost(&self) -> Option<LostFuture<'_>> {
        None
    }

    /// The turn is over: codex is gone, or waits for the next turn. This is awaited before the end of the turn is handed
    /// out, however the turn has ended. A turn that would have succeeded fails with the error of this, if there is one.
    ///
    /// It is not called if the turn is dropped. The last thing that happens then is that this is dropped, when codex is
    /// gone.
    fn finish(&self) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Keeps one small record per conversation. [`SessionFiles`](crate::SessionFiles) keeps it on this machine; a runtime
/// whose workspaces move between machines brings its own.
pub trait SessionStore: Send + Sync + 'static {
    /// Waits until no other turn of this conversation runs, on any machine, and keeps others out until the session that it
    /// returns is dropped, or has finished. The caller gives up by dropping the future.
    fn acquire<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Acquired>;

    /// Where the turns of this conversation line up in this process, before they ask [`acquire`](Self::acquire): in which
    /// line they run one after the other, first come, first served. A store that lets only one of several conversations
    /// run at a time names the same line for all of them.
    fn line(&self, key: &SessionKey) -> SessionKey {
        key.clone()
    }

    /// Who has the conversation that [`acquire`](Self::acquire) has waited for, in a sentence, if that is known.
    fn holder(&self, key: &SessionKey) -> Option<String> {
        let _ = key;
        None
    }

    /// Waits until it has kept what turns that were dropped have left to do.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    /// What has happened with it, if machines share it.
    fn metrics(&self) -> FleetMetrics {
        FleetMetrics::default()
    }
}

/// For `describe`, which has no workspace and so nothing to keep.
pub(crate) struct NoSession;

impl NoSession {
    pub fn error() -> SessionError {
        SessionError::new(
            SessionErrorKind::Denied,
            "there is no session outside of a turn",
        )
    }

    fn refused<T: Send + 'static>() -> StoreFuture<'static, T> {
        Box::pin(std::future::ready(Err(Self::error())))
    }
}

impl Session for NoSession {
    fn save(&self, _: SessionEntry) -> StoreFuture<'_, Vec<String>> {
        Self::refused()
    }

    fn set_aside(&self) -> StoreFuture<'_, ()> {
        Self::refused()
    }
}
