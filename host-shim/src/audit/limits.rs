//! Every limit, with its value.

use std::time::Duration;

use serde::Serialize;

use crate::capability::handover::MAX_SCHEMA_BYTES;
use crate::capability::image::{MAX_IMAGE_BYTES, MAX_IMAGES};
use crate::codex::framing::MAX_LINE_BYTES;
use crate::codex::stderr::STDERR_BYTES;
use crate::codex::task::{DRAIN, MAX_BATCH_BYTES};
use crate::config::guest_limits as guest;
use crate::config::{Config, Transport};
use crate::grant::MAX_ARGUMENT_BYTES;
use crate::session::files::MAX_FILE_BYTES;

/// A limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Limit {
    /// What is limited.
    pub what: String,
    /// Its value.
    pub value: u64,
    /// What the value counts.
    pub unit: Unit,
    /// The setting that decides, such as `limits.turn_seconds`; absent where none does.
    pub setting: Option<String>,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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
    let mut limits = configured(config);
    limits.extend(fixed());
    limits
}

fn configured(config: &Config) -> Vec<Limit> {
    let limit = |setting: &str, value, unit, what: &str| Limit {
        what: what.to_owned(),
        value,
        unit,
        setting: Some(setting.to_owned()),
    };
    let seconds = |setting: &str, seconds: u32, what: &str| {
        limit(setting, u64::from(seconds) * 1000, Unit::Milliseconds, what)
    };
    let mib = |setting: &str, mib: u32, what: &str| {
        limit(setting, u64::from(mib) * 1024 * 1024, Unit::Bytes, what)
    };
    let count =
        |setting: &str, count: u32, what: &str| limit(setting, u64::from(count), Unit::Count, what);
    let (set, server, guest) = (&config.limits, &config.server, &config.guest);
    let of_servers = [
        seconds(
            "server.idle_seconds",
            server.idle_seconds,
            "a codex that stays, without a turn",
        ),
        count(
            "server.processes",
            server.processes,
            "codex processes that wait, in one process",
        ),
        count(
            "server.turns",
            server.turns,
            "turns of one codex that stays",
        ),
    ];
    let stays = config.transport() == Transport::AppServer;
    let mut limits = vec![
        seconds(
            "limits.start_seconds",
            set.start_seconds,
            "until codex's first line",
        ),
        seconds(
            "limits.idle_seconds",
            set.idle_seconds,
            "without a line while the model works",
        ),
        seconds(
            "limits.tool_idle_seconds",
            set.tool_idle_seconds,
            "without a line while a tool runs",
        ),
        seconds("limits.turn_seconds", set.turn_seconds, "the whole turn"),
        seconds(
            "limits.busy_seconds",
            set.busy_seconds,
            "waiting for another turn in the same workspace",
        ),
        seconds(
            "limits.end_seconds",
            set.end_seconds,
            "until codex has ended after the turn",
        ),
        seconds(
            "limits.grace_seconds",
            set.grace_seconds,
            "from SIGINT to SIGKILL",
        ),
        mib(
            "limits.output_mib",
            set.output_mib,
            "codex's output in a turn",
        ),
        count("limits.turns", set.turns, "turns at once in one process"),
        mib(
            "guest.memory_mib",
            guest.memory_mib,
            "the component's memory",
        ),
        seconds(
            "guest.cpu_seconds",
            guest.cpu_seconds,
            "computing without output from codex",
        ),
        count("guest.spawns", guest.spawns, "starts of codex in a turn"),
        count("guest.events", guest.events, "events in a turn"),
        mib(
            "guest.event_mib",
            guest.event_mib,
            "the events of a turn, in memory",
        ),
        count(
            "guest.log_lines",
            guest.log_lines,
            "messages to the log in a turn",
        ),
    ];
    limits.extend(of_servers.into_iter().filter(|_| stays));
    limits
}

/// Those that cannot be configured, with short names.
fn fixed() -> Vec<Limit> {
    let limit = |what: &str, value, unit| Limit {
        what: what.to_owned(),
        value,
        unit,
        setting: None,
    };
    let bytes = |what: &str, value: usize| limit(what, value as u64, Unit::Bytes);
    let count = |what: &str, value: usize| limit(what, value as u64, Unit::Count);
    let time = |what: &str, value: Duration| {
        let value = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        limit(what, value, Unit::Milliseconds)
    };
    let cancelled = Duration::from_millis(guest::CANCELLED_MILLISECONDS);
    vec![
        bytes("one argument or prompt", MAX_ARGUMENT_BYTES),
        bytes("all arguments", guest::MAX_ARGUMENTS_BYTES),
        count("number of arguments", guest::MAX_ARGUMENTS),
        limit(
            "refusals in a turn",
            u64::from(guest::MAX_REFUSALS),
            Unit::Count,
        ),
        bytes("one call of the host", guest::MAX_CALL_BYTES),
        bytes("input of one tool", guest::MAX_TOOL_INPUT_BYTES),
        count("steps of a plan", guest::MAX_PLAN_STEPS),
        bytes("one log message", guest::MAX_LOG_BYTES),
        bytes("stack", guest::MAX_STACK_BYTES),
        count("core instances", guest::MAX_INSTANCES),
        count("memories", guest::MAX_MEMORIES),
        count("tables", guest::MAX_TABLES),
        count("table elements", guest::MAX_TABLE_ELEMENTS),
        count("open resources", guest::MAX_HANDLES),
        time("after a cancel", cancelled),
        time("output after the end", DRAIN),
        bytes("one line of codex", MAX_LINE_BYTES),
        bytes("lines at a time", MAX_BATCH_BYTES),
        bytes("kept standard error", STDERR_BYTES),
        limit("one image", MAX_IMAGE_BYTES, Unit::Bytes),
        count("images of a prompt", MAX_IMAGES),
        limit("output schema", MAX_SCHEMA_BYTES as u64, Unit::Bytes),
        limit("one session file", MAX_FILE_BYTES, Unit::Bytes),
    ]
}

impl Limit {
    /// The value with its unit, as short as it can be said exactly.
    #[must_use]
    pub fn shown(&self) -> String {
        let steps: &[(u64, &str)] = match self.unit {
            Unit::Bytes => &[
                (1 << 30, "GiB"),
                (1024 * 1024, "MiB"),
                (1024, "KiB"),
                (1, "B"),
            ],
            Unit::Milliseconds => &[(3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")],
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
