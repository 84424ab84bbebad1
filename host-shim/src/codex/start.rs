//! What to start, and why it did not start.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::stop::StopCause;
use crate::session::store::Session;

/// What to start.
pub struct Start<'a> {
    /// The program, resolved.
    pub program: &'a Path,
    /// Its arguments, checked.
    pub args: &'a [String],
    /// Its working folder.
    pub workspace: &'a Path,
    /// All of its environment variables.
    pub environment: &'a [(OsString, OsString)],
    /// What its standard input holds; without it, standard input is empty.
    pub prompt_on_stdin: Option<String>,
    /// Keeps other turns out of the workspace; held until nothing of codex is left.
    pub session: Option<Arc<dyn Session>>,
    /// The place among the turns at once; held for as long.
    pub turn_slot: Option<Arc<OwnedSemaphorePermit>>,
    /// How long it may take to print its first line.
    pub start_timeout: Duration,
    /// How long it has to exit on its own when it is stopped.
    pub grace: Duration,
    /// How much it may print.
    pub max_output_bytes: u64,
}

/// Why codex was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The turn had to end before codex ran.
    #[error("the turn was stopped before codex was started")]
    Stopped(StopCause),
    /// It did not run within the time that a start may take.
    #[error("codex did not start within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The operating system, or the spawner, refused.
    #[error(transparent)]
    Failed(#[from] io::Error),
}
