//! What the task that owns a codex can be asked.

use std::time::Duration;

use tokio::sync::oneshot;

use super::exit::Exit;
use super::stop::StopCause;

/// How long to wait for the next line, and what it means when none comes.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// How long.
    pub duration: Duration,
    /// What it means.
    pub cause: StopCause,
}

/// A request to the task.
pub enum Ask {
    /// The caller waits for output. It must come within `idle`, unless more than `taken` batches have been sent
    /// already.
    Output {
        /// The clock.
        idle: Clock,
        /// How many batches the caller has taken.
        taken: u64,
    },
    /// The caller waits for the exit, which should not take longer than `end`.
    Exit {
        /// How long.
        end: Duration,
        /// Where the exit goes.
        reply: oneshot::Sender<Exit>,
    },
    /// Stop codex.
    Stop(StopCause),
}
