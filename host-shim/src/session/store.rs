//! Where the id of a workspace's conversation is kept between turns.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use crate::contract::event::Usage;

/// What is kept for a workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionEntry {
    /// The conversation, as codex names it.
    pub thread_id: String,
    /// Its running token totals at the end of its latest turn; `None` when not known.
    pub totals: Option<Usage>,
}

/// What the methods of a [`SessionStore`] return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Keeps other turns out while it lives.
pub trait SessionGuard: Send + Sync + 'static {
    /// The file whose lock (`flock(2)`) does so, if there is one. Codex's supervisor then holds the lock too, so that
    /// others are kept out until codex is gone, even if this process is killed.
    fn lock(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Keeps one small record per workspace. [`SessionFiles`](crate::SessionFiles) keeps it in the workspace itself; a
/// runtime whose workspaces move between machines brings its own.
///
/// An error ends the turn before the model is asked, and its text is shown: name the file and the remedy.
pub trait SessionStore: Send + Sync + 'static {
    /// Waits until no other turn runs in this workspace, on any machine, and keeps others out until the guard is
    /// dropped. The caller gives up by dropping the future.
    fn lock<'a>(&'a self, workspace: &'a Path) -> StoreFuture<'a, Arc<dyn SessionGuard>>;

    /// What is kept for this workspace.
    fn load<'a>(&'a self, workspace: &'a Path) -> StoreFuture<'a, Option<SessionEntry>>;

    /// Keeps `entry`. When this returns, a crash of the machine does not lose its thread id; a crash before
    /// that leaves what was kept before, whole. The totals may be lost: they are then not known.
    fn save<'a>(&'a self, workspace: &'a Path, entry: SessionEntry) -> StoreFuture<'a, ()>;

    /// Moves what is kept out of the way, to where a person can still find it.
    fn set_aside<'a>(&'a self, workspace: &'a Path) -> StoreFuture<'a, ()>;
}

/// For `describe`, which has no workspace and so nothing to keep.
pub(crate) struct NoSession;

impl NoSession {
    fn refused<T: Send + 'static>() -> StoreFuture<'static, T> {
        Box::pin(std::future::ready(Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "there is no session outside of a turn",
        ))))
    }
}

impl SessionStore for NoSession {
    fn lock<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, Arc<dyn SessionGuard>> {
        Self::refused()
    }

    fn load<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, Option<SessionEntry>> {
        Self::refused()
    }

    fn save<'a>(&'a self, _: &'a Path, _: SessionEntry) -> StoreFuture<'a, ()> {
        Self::refused()
    }

    fn set_aside<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, ()> {
        Self::refused()
    }
}
