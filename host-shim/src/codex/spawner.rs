//! How codex is started: the seam where a runtime can use another machine or a container.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// What to start. The host has checked all of it against the grant.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// The program, an absolute path.
    pub program: &'a Path,
    /// Its arguments, without its own name.
    pub args: &'a [String],
    /// Its working folder.
    pub workspace: &'a Path,
    /// All of its environment variables.
    pub environment: &'a [(OsString, OsString)],
    /// Whether its standard input is a pipe; otherwise it is empty and closed.
    pub stdin: bool,
    /// How long it has to exit on its own when it is stopped.
    pub grace: Duration,
    /// A file, if there is one, whose lock must be held until everything that codex started has ended, even if this
    /// process dies.
    pub lock: Option<BorrowedFd<'a>>,
}

/// A started codex.
pub struct Spawned {
    /// Its process id, for logs; 0 where it is not known any more.
    pub id: i32,
    /// Its standard input, if it was asked for. Dropping it closes it.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// How it is stopped and waited for.
    pub child: Box<dyn Child>,
}

/// What became of the processes that were still alive after codex exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// All of them are gone; this many had to be ended.
    All {
        /// How many.
        ended: u32,
    },
    /// This many could not be ended.
    Left {
        /// How many.
        count: u32,
    },
    /// Whoever knew them was killed. This many were found and ended.
    Lost {
        /// How many were ended.
        ended: u32,
        /// Whether there can be no others.
        all: bool,
    },
}

/// What the methods of [`Spawner`] and [`Child`] return.
pub type SpawnFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Starts codex. [`Supervised`](crate::Supervised) does so on this machine.
pub trait Spawner: Send + Sync + 'static {
    /// Starts it and returns when it runs. Errors must be those of the operating system, with their numbers: the
    /// operator's message depends on them.
    fn spawn<'a>(&'a self, command: Command<'a>) -> SpawnFuture<'a, Spawned>;
}

/// A running codex. Dropping it stops it as [`Child::stop`] does, without waiting.
pub trait Child: Send {
    /// Asks codex to end, and ends everything that is left of it after the grace period. Returns at once; may be
    /// called again.
    fn stop(&mut self);

    /// Ends codex and all that it has started at once. Returns at once; may be called again. Is [`Child::stop`] by default.
    fn kill(&mut self) {
        self.stop();
    }

    /// Suspends codex and all that it has started, until [`Child::resume`] or [`Child::stop`]. Returns at once. Does
    /// nothing by default.
    fn suspend(&mut self) {}

    /// Has them go on. Returns at once. Does nothing by default.
    fn resume(&mut self) {}

    /// For a codex that stays: a turn begins. A file, if there is one, must be kept locked until [`Child::sweep`] or the
    /// end of all, even if this process dies. Returns at once. Does nothing by default.
    fn turn_begins(&mut self, _lock: Option<BorrowedFd<'_>>) {}

    /// Waits, after [`Child::turn_begins`], until it is known what was there before the turn, and is not the turn's. Codex
    /// gets the prompt after that: what it starts then may not be taken for older. May be dropped while it waits, and
    /// called again. By default it is known at once.
    fn turn_begun(&mut self) -> SpawnFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// For a codex that stays: ends what the turn has left behind, and returns how many processes that were. Codex itself
    /// and its helpers stay. May be dropped while it waits, and called again. By default this is an error
    /// ([`io::ErrorKind::Unsupported`]), and codex is ended after each turn.
    fn sweep(&mut self) -> SpawnFuture<'_, u32> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    /// Waits until codex itself has ended. May be dropped while it waits, and called again. If it is unknown how codex
    /// ended, return the status of a process that SIGKILL ended, and then [`Gone::Lost`].
    fn ended(&mut self) -> SpawnFuture<'_, ExitStatus>;

    /// Waits, after [`Child::ended`], until nothing that codex started is left. May be dropped while it waits, and
    /// called again.
    fn gone(&mut self) -> SpawnFuture<'_, Gone>;
}
