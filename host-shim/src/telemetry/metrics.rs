//! Counters for a runtime to scrape, and the fields of each turn's span.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tracing::Span;
use tracing::field::Empty;

use crate::contract::event::{Event, FailureKind, StopReason, Usage};
pub use crate::telemetry::durations::Durations;
use crate::telemetry::fleet::FleetMetrics;

/// What has happened since the provider was loaded. Counters only grow, but for `turns_open` and `turns_waiting`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns that wait, for their workspace or because too many others run (`limits.turns`).
    pub turns_waiting: u64,
    /// Turns that run.
    pub turns_open: u64,
    /// Turns that ended without a failure.
    pub turns_completed: u64,
    /// Turns that were stopped, or whose caller went away.
    pub turns_aborted: u64,
    /// Turns that failed, by kind.
    pub turns_failed: BTreeMap<FailureKind, u64>,
    /// Times that codex was started.
    pub codex_starts: u64,
    /// Those of them that were not the first of their turn.
    pub codex_restarts: u64,
    /// Times that codex was not started: the grant forbids it, or the program cannot be run.
    pub codex_refusals: u64,
    /// Bytes of codex's standard output.
    pub output_bytes: u64,
    /// Lines that were too long and were left out.
    pub lines_skipped: u64,
    /// Processes that codex left behind and that were ended.
    pub left_behind: u64,
    /// Lines of the [record](crate::Recorder) that could not be written.
    pub record_lines_lost: u64,
    /// Tokens read, in turns that reported their usage.
    pub input_tokens: u64,
    /// Tokens written, in turns that reported their usage.
    pub output_tokens: u64,
    /// From the beginning of a turn to codex's first line.
    pub to_first_line: Durations,
    /// From the beginning of a turn to its first text.
    pub to_first_text: Durations,
    /// From the beginning of a turn to its end.
    pub to_end: Durations,
    /// The codex processes that stay (`"transport": "app-server"`).
    pub servers: Servers,
    /// The session store, if machines share it.
    pub fleet: FleetMetrics,
}

/// What has happened with the codex processes that stay. Counters only grow, but for `waiting`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Servers {
    /// Those that wait for their next turn.
    pub waiting: u64,
    /// Turns for which one was started.
    pub cold_turns: u64,
    /// Turns of one that had waited.
    pub warm_turns: u64,
    /// Those that are not kept any more, by the reason.
    pub closed: BTreeMap<ServerClosed, u64>,
    /// From the beginning of a turn for which one was started to its first text. These are among `to_first_text`, too.
    pub cold_to_first_text: Durations,
    /// The same for turns of one that had waited.
    pub warm_to_first_text: Durations,
}

/// Why a codex that stayed is not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerClosed {
    /// It had waited for `server.idle_seconds`.
    Idle,
    /// Its conversation was closed.
    Released,
    /// More than `server.processes` waited.
    Surplus,
    /// It had done `server.turns`.
    Worn,
    /// It would have done something else than a new one: its login, its settings or its thread changed.
    OutOfDate,
    /// It ended on its own, or could not end a turn in order.
    Broken,
    /// Its turn was dropped, or the component did not wait for the turn's end.
    Dropped,
    /// The provider was closed.
    Shutdown,
}

/// Counters that all turns of a provider share.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<Metrics>>);

impl Counters {
    /// The present values.
    pub fn read(&self) -> Metrics {
        self.lock().clone()
    }

    /// A turn begins.
    pub fn turn(&self, workspace: &Path, model: Option<&str>) -> Meter {
        self.lock().turns_waiting += 1;
        let span = tracing::info_span!(
            "turn",
            workspace = %workspace.display(),
            model,
            thread_id = Empty,
            outcome = Empty,
            codex_starts = Empty,
            warm = Empty,
            output_bytes = Empty,
            first_line_ms = Empty,
            first_text_ms = Empty,
            turn_ms = Empty,
        );
        Meter(Arc::new(Measured {
            counters: self.clone(),
            span,
            began: Instant::now(),
            state: Mutex::default(),
        }))
    }

    /// A codex that stays waits for its next turn.
    pub fn server_waits(&self) {
        self.lock().servers.waiting += 1;
    }

    /// It does not wait any more.
    pub fn server_taken(&self) {
        let servers = &mut self.lock().servers;
        servers.waiting = servers.waiting.saturating_sub(1);
    }

    /// One is not kept any more.
    pub fn server_closed(&self, why: ServerClosed) {
        *self.lock().servers.closed.entry(why).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Metrics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One turn, measured. It is counted when its end is reported, or else when all clones are gone.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Measured>);

#[derive(Debug)]
struct Measured {
    counters: Counters,
    span: Span,
    began: Instant,
    state: Mutex<State>,
}

/// What is known of the turn so far.
#[derive(Debug, Default)]
struct State {
    running: bool,
    starts: u64,
    output_bytes: u64,
    first_line: Option<Duration>,
    first_text: Option<Duration>,
    /// Whether a codex that stays does the turn, and whether it had waited for it.
    warm: Option<bool>,
    end: Option<(StopReason, Option<FailureKind>)>,
    /// Whether the turn has been counted; then all else here is empty.
    counted: bool,
}

impl Meter {
    /// The span of the turn.
    pub fn span(&self) -> &Span {
        &self.0.span
    }

    /// The turn has waited and runs.
    pub fn runs(&self) {
        self.0.state().running = true;
        let mut metrics = self.0.counters.lock();
        metrics.turns_waiting -= 1;
        metrics.turns_open += 1;
    }

    /// Codex was started.
    pub fn started(&self) {
        let mut state = self.0.state();
        state.starts += 1;
        let mut metrics = self.0.counters.lock();
        metrics.codex_starts += 1;
        metrics.codex_restarts += u64::from(state.starts > 1);
    }

    /// A codex that stays does the turn: one that had waited for it, or a new one.
    pub fn served(&self, warm: bool) {
        self.0.span.record("warm", warm);
        self.0.state().warm = Some(warm);
        let servers = &mut self.0.counters.lock().servers;
        if warm {
            servers.warm_turns += 1;
        } else {
            servers.cold_turns += 1;
        }
    }

    /// A codex that stayed is not kept any more.
    pub fn server_closed(&self, why: ServerClosed) {
        self.0.counters.server_closed(why);
    }

    /// Codex was not started.
    pub fn refused(&self) {
        self.0.counters.lock().codex_refusals += 1;
    }

    /// Codex has printed.
    pub fn output(&self, bytes: usize, skipped: usize) {
        let since = self.0.began.elapsed();
        let mut state = self.0.state();
        state.first_line.get_or_insert(since);
        state.output_bytes += bytes as u64;
        let mut metrics = self.0.counters.lock();
        metrics.output_bytes += bytes as u64;
        metrics.lines_skipped += skipped as u64;
    }

    /// Codex has ended, and this many processes that it left behind were ended.
    pub fn left_behind(&self, processes: u32) {
        self.0.counters.lock().left_behind += u64::from(processes);
    }

    /// A line of the record could not be written.
    pub fn record_line_lost(&self) {
        self.0.counters.lock().record_lines_lost += 1;
    }

    /// The caller gets this event.
    pub fn event(&self, event: &Event) {
        match event {
            Event::MessageStart { thread_id, .. } => {
                self.0.span.record("thread_id", thread_id.as_str());
            }
            Event::TextDelta { .. } => {
                let since = self.0.began.elapsed();
                self.0.state().first_text.get_or_insert(since);
            }
            Event::MessageEnd {
                stop_reason,
                failure,
                usage,
                ..
            } => {
                self.0.state().end =
                    Some((*stop_reason, failure.as_ref().map(|failure| failure.kind)));
                if let Some(Usage {
                    input_tokens,
                    output_tokens,
                    ..
                }) = usage
                {
                    let mut metrics = self.0.counters.lock();
                    metrics.input_tokens = metrics.input_tokens.saturating_add(*input_tokens);
                    metrics.output_tokens = metrics.output_tokens.saturating_add(*output_tokens);
                }
                // Before the caller gets it, because the caller may then look at the metrics.
                self.0.count();
            }
            _ => {}
        }
    }
}

impl Measured {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the turn, once.
    fn count(&self) {
        let turn = self.began.elapsed();
        let counted = State {
            counted: true,
            ..State::default()
        };
        let state = std::mem::replace(&mut *self.state(), counted);
        if state.counted {
            return;
        }
        let outcome = match state.end {
            Some((StopReason::EndTurn, _)) => "end_turn".to_owned(),
            Some((StopReason::MaxTokens, _)) => "max_tokens".to_owned(),
            Some((StopReason::Refusal, _)) => "refusal".to_owned(),
            Some((StopReason::Aborted, _)) => "aborted".to_owned(),
            // The names are those of the JSON form.
            Some((StopReason::Error, kind)) => kind
                .and_then(|kind| serde_json::to_value(kind).ok())
                .and_then(|kind| kind.as_str().map(str::to_owned))
                .unwrap_or_else(|| "error".to_owned()),
            None => "dropped".to_owned(),
        };
        let milliseconds =
            |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.span.record("outcome", outcome.as_str());
        self.span.record("codex_starts", state.starts);
        self.span.record("output_bytes", state.output_bytes);
        self.span.record("turn_ms", milliseconds(turn));
        if let Some(first) = state.first_line {
            self.span.record("first_line_ms", milliseconds(first));
        }
        if let Some(first) = state.first_text {
            self.span.record("first_text_ms", milliseconds(first));
        }
        tracing::info!(parent: &self.span, outcome, "the turn ended");

        let mut metrics = self.counters.lock();
        if state.running {
            metrics.turns_open -= 1;
        } else {
            metrics.turns_waiting -= 1;
        }
        match state.end {
            Some((StopReason::EndTurn | StopReason::MaxTokens | StopReason::Refusal, _)) => {
                metrics.turns_completed += 1;
            }
            Some((StopReason::Error, kind)) => {
                *metrics
                    .turns_failed
                    .entry(kind.unwrap_or(FailureKind::Internal))
                    .or_default() += 1;
            }
            Some((StopReason::Aborted, _)) | None => metrics.turns_aborted += 1,
        }
        metrics.to_end.add(turn);
        if let Some(first) = state.first_line {
            metrics.to_first_line.add(first);
        }
        if let Some(first) = state.first_text {
            metrics.to_first_text.add(first);
            match state.warm {
                Some(true) => metrics.servers.warm_to_first_text.add(first),
                Some(false) => metrics.servers.cold_to_first_text.add(first),
                None => {}
            }
        }
    }
}

/// However a turn ends, even by a panic, it is counted.
impl Drop for Measured {
    fn drop(&mut self) {
        self.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_counted_once_when_its_end_is_reported_or_when_it_is_dropped() {
        let counters = Counters::default();
        let counted = || {
            let metrics = counters.read();
            let ended = (metrics.turns_aborted, metrics.to_end.count);
            (metrics.turns_waiting, metrics.turns_open, ended)
        };
        let meter = counters.turn(Path::new("workspace"), None);
        meter.runs();
        assert_eq!(counted(), (0, 1, (0, 0)));
        let end = Event::failed(FailureKind::Killed, StopReason::Aborted, String::new());
        meter.event(&end);
        assert_eq!(counted(), (0, 0, (1, 1)));
        drop(meter);
        assert_eq!(counted(), (0, 0, (1, 1)));
        let meter = counters.turn(Path::new("workspace"), None);
        assert_eq!(counted(), (1, 0, (1, 1)));
        drop(meter);
        assert_eq!(counted(), (0, 0, (2, 2)));
    }
}
