//! How long things may take.

use std::time::Duration;

use super::numbers::numbers;

const YEAR_SECONDS: u32 = 365 * 24 * 60 * 60;

numbers! {
    /// How long things may take, each in whole seconds, 1 to a year.
    Limits {
        /// Until codex prints its first line.
        start_seconds = 60, 1, YEAR_SECONDS;
        /// Without a line while the model works. It prints nothing while it thinks, so this is long.
        idle_seconds = 30 * 60, 1, YEAR_SECONDS;
        /// Without a line while a tool runs.
        tool_idle_seconds = 2 * 60 * 60, 1, YEAR_SECONDS;
        /// The whole turn.
        turn_seconds = 6 * 60 * 60, 1, YEAR_SECONDS;
        /// Until a turn gives up waiting for another one in the same workspace.
        busy_seconds = 30, 1, YEAR_SECONDS;
    }
}

impl Limits {
    pub(crate) fn start(&self) -> Duration {
        Duration::from_secs(self.start_seconds.into())
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.into())
    }

    pub(crate) fn tool_idle(&self) -> Duration {
        Duration::from_secs(self.tool_idle_seconds.into())
    }

    pub(crate) fn turn(&self) -> Duration {
        Duration::from_secs(self.turn_seconds.into())
    }

    pub(crate) fn busy(&self) -> Duration {
        Duration::from_secs(self.busy_seconds.into())
    }
}
