//! How much of everything there may be.

use serde::Serialize;

use crate::config::Config;
use crate::framing::MAX_LINE_BYTES;
use crate::grant::MAX_ARGUMENT_BYTES;
use crate::host::{MAX_BATCH_BYTES, MAX_LOG_BYTES};
use crate::image::MAX_IMAGE_BYTES;
use crate::process::{DRAIN, GRACE, STDERR_BYTES};
use crate::provider::MEMORY_BYTES;
use crate::session_file::MAX_FILE_BYTES;

/// A limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// What is limited.
    pub what: String,
    /// How much of it there may be.
    pub value: u64,
    /// What the value counts.
    pub unit: Unit,
    /// The setting that decides, such as `limits.turn_seconds`; absent where none does.
    pub setting: Option<String>,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Things.
    Count,
}

/// Every limit, those that the operator sets first.
pub fn limits(config: &Config) -> Vec<Limit> {
    let seconds = |setting: &str, seconds: u32, what: &str| Limit {
        what: what.to_owned(),
        value: u64::from(seconds) * 1000,
        unit: Unit::Milliseconds,
        setting: Some(format!("limits.{setting}")),
    };
    let fixed = |what: &str, value: u64, unit| Limit {
        what: what.to_owned(),
        value,
        unit,
        setting: None,
    };
    let bytes = |what: &str, value: usize| fixed(what, value as u64, Unit::Bytes);
    let milliseconds = |what: &str, value: std::time::Duration| {
        let value = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        fixed(what, value, Unit::Milliseconds)
    };
    let set = &config.limits;
    vec![
        seconds("start_seconds", set.start_seconds, "first line"),
        seconds("idle_seconds", set.idle_seconds, "silent model"),
        seconds("tool_idle_seconds", set.tool_idle_seconds, "silent tool"),
        seconds("turn_seconds", set.turn_seconds, "whole turn"),
        seconds("busy_seconds", set.busy_seconds, "wait for a turn"),
        milliseconds("from SIGINT to SIGKILL", GRACE),
        milliseconds("output after codex's end", DRAIN),
        bytes("memory of the component", MEMORY_BYTES),
        bytes("one argument, the prompt as one too", MAX_ARGUMENT_BYTES),
        fixed("one image", MAX_IMAGE_BYTES, Unit::Bytes),
        bytes("one line of codex", MAX_LINE_BYTES),
        bytes("lines handed over at a time", MAX_BATCH_BYTES),
        bytes("standard error, the last of it", STDERR_BYTES),
        bytes("one message to the log", MAX_LOG_BYTES),
        fixed("one session file", MAX_FILE_BYTES, Unit::Bytes),
    ]
}

impl Limit {
    /// The value with its unit, as short as it can be said exactly.
    #[must_use]
    pub fn shown(&self) -> String {
        let steps: &[(u64, &str)] = match self.unit {
            Unit::Bytes => &[(1024 * 1024, "MiB"), (1024, "KiB"), (1, "B")],
            Unit::Milliseconds => &[
                (3_600_000, "h"),
                (60_000, "min"),
                (1000, "s"),
                (1, "ms"),
            ],
            Unit::Count => &[],
        };
        let exact = steps
            .iter()
            .find(|(step, _)| self.value > 0 && self.value.is_multiple_of(*step));
        match exact {
            Some((step, unit)) => format!("{} {unit}", self.value / step),
            None => self.value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_said_exactly() {
        for (value, unit, shown) in [
            (128 << 20, Unit::Bytes, "128 MiB"),
            (131_071, Unit::Bytes, "131071 B"),
            (60_000, Unit::Milliseconds, "1 min"),
            (90_000, Unit::Milliseconds, "90 s"),
            (500, Unit::Milliseconds, "500 ms"),
            (21_600_000, Unit::Milliseconds, "6 h"),
            (0, Unit::Bytes, "0"),
            (64, Unit::Count, "64"),
        ] {
            let limit = Limit {
                what: String::new(),
                value,
                unit,
                setting: None,
            };
            assert_eq!(limit.shown(), shown);
        }
    }
}
