//! How long things may take.

use std::time::Duration;

use super::numbers::numbers;

const YEAR_SECONDS: u32 = 365 * 24 * 60 * 60;
const MOST_OUTPUT_MIB: u32 = 1 << 20;
const MOST_TURNS: u32 = 100_000;

numbers! {
    /// How long things may take, each in whole seconds, 1 to a year; and how much there may be.
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
        /// Until codex has exited after it reported the end of the turn, or closed its output.
        end_seconds = 10, 1, YEAR_SECONDS;
        /// How long codex has to exit and to stop its tools when a turn is stopped. After that, everything that is
        /// left is killed.
        grace_seconds = 3, 1, YEAR_SECONDS;
        /// How many MiB codex may print in one turn.
        output_mib = 4096, 1, MOST_OUTPUT_MIB;
        /// How many turns may run at once in one process. Others wait.
        turns = 64, 1, MOST_TURNS;
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

    pub(crate) fn end(&self) -> Duration {
        Duration::from_secs(self.end_seconds.into())
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds.into())
    }

    pub(crate) fn output_bytes(&self) -> u64 {
        u64::from(self.output_mib) * 1024 * 1024
    }
}
