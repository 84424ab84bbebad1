//! How long things may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long things may take, each in whole seconds, 1 to a year; and how much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Until codex prints its first line.
    pub start_seconds: u32,
    /// Without a line while the model works. It prints nothing while it thinks, so this is long.
    pub idle_seconds: u32,
    /// Without a line while a tool runs.
    pub tool_idle_seconds: u32,
    /// The whole turn.
    pub turn_seconds: u32,
    /// Until a turn gives up waiting for another one in the same workspace.
    pub busy_seconds: u32,
    /// Until codex has ended after it has said how the turn ended, or has closed its output.
    pub end_seconds: u32,
    /// How long codex has to end by itself, and to end its tools, when a turn is stopped. Then everything that is left
    /// is killed.
    pub grace_seconds: u32,
    /// How many MiB codex may print in one turn, 1 to 2^20.
    pub output_mib: u32,
    /// How many turns may run at once in one process, 1 to 100000. Others wait for their turn.
    pub turns: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            start_seconds: 60,
            idle_seconds: 30 * 60,
            tool_idle_seconds: 2 * 60 * 60,
            turn_seconds: 6 * 60 * 60,
            busy_seconds: 30,
            end_seconds: 10,
            grace_seconds: 3,
            output_mib: 4096,
            turns: 64,
        }
    }
}

const YEAR_SECONDS: u32 = 365 * 24 * 60 * 60;
const MOST_OUTPUT_MIB: u32 = 1 << 20;
const MOST_TURNS: u32 = 100_000;

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

    /// What a type cannot say.
    pub(super) fn check(&self) -> Result<(), String> {
        let all = [
            self.start_seconds,
            self.idle_seconds,
            self.tool_idle_seconds,
            self.turn_seconds,
            self.busy_seconds,
            self.end_seconds,
            self.grace_seconds,
        ];
        if all
            .iter()
            .all(|seconds| (1..=YEAR_SECONDS).contains(seconds))
            && (1..=MOST_OUTPUT_MIB).contains(&self.output_mib)
            && (1..=MOST_TURNS).contains(&self.turns)
        {
            Ok(())
        } else {
            Err(format!(
                "each limit is a number of seconds from 1 to {YEAR_SECONDS}, `output_mib` one of MiB from 1 to {MOST_OUTPUT_MIB}, `turns` one from 1 to {MOST_TURNS}"
            ))
        }
    }
}
