//! How long things may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long things may take, each in whole seconds, 1 to a year.
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
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            start_seconds: 60,
            idle_seconds: 30 * 60,
            tool_idle_seconds: 2 * 60 * 60,
            turn_seconds: 6 * 60 * 60,
            busy_seconds: 30,
        }
    }
}

const YEAR_SECONDS: u32 = 365 * 24 * 60 * 60;

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

    /// What a type cannot say.
    pub(super) fn check(&self) -> Result<(), String> {
        let all = [
            self.start_seconds,
            self.idle_seconds,
            self.tool_idle_seconds,
            self.turn_seconds,
            self.busy_seconds,
        ];
        if all
            .iter()
            .all(|seconds| (1..=YEAR_SECONDS).contains(seconds))
        {
            Ok(())
        } else {
            Err(format!(
                "each limit is a number of seconds from 1 to {YEAR_SECONDS}"
            ))
        }
    }
}
