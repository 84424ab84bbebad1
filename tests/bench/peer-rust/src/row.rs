//! The figures, as rows of JSON and as a table.

use std::fmt::Write as _;

use bench_peers::statistics::Spread;
use serde::Serialize;

use crate::codex::Kind;
use crate::phase::{Mode, Phase, Round, Samples};
use crate::sides::BARE;

/// One side in one phase. Milliseconds are a turn's.
#[derive(Debug, Serialize)]
pub struct Row {
    side: &'static str,
    codex: Kind,
    concurrency: usize,
    mode: Mode,
    /// Turns that were measured.
    n: usize,
    /// From the order until the first event that codex caused, in the middle.
    first_event_ms: f64,
    /// … until the answer's text.
    first_text_ms: f64,
    /// … until the end.
    latency_ms: f64,
    /// The time for all turns at once, divided by their number.
    turn_ms: f64,
    turn_low_ms: f64,
    turn_high_ms: f64,
    /// More than the bare side in the same round.
    added_ms: f64,
    ratio_to_bare: f64,
    ratio_low: f64,
    ratio_high: f64,
    /// Of the wrapper and its helpers: of all processes together, less what codex alone costs the bare side.
    cpu_ms: f64,
    /// Of the wrapper's own process.
    cpu_own_ms: f64,
    /// Of all processes together, codex included.
    cpu_tree_ms: f64,
    /// High-water mark of the wrapper's own process; none for codex alone.
    peak_rss_kib: Option<u64>,
    /// What its helpers hold at most, all together.
    helpers_pss_kib: Option<u64>,
}

/// The rows of a phase.
pub fn rows(phase: &Phase, samples: &[Samples]) -> Vec<Row> {
    let Some(bare) = samples.iter().find(|samples| samples.side == BARE) else {
        return Vec::new();
    };
    // As a program, the bare side is codex; in a process that stays, codex is what that process has started.
    let codex_cpu_ms = match phase.mode {
        Mode::Live => bare.tree_cpu_ms - bare.own_cpu_ms,
        Mode::Program => bare.tree_cpu_ms,
    };
    samples
        .iter()
        .filter_map(|samples| row(phase, samples, bare, codex_cpu_ms))
        .collect()
}

fn row(phase: &Phase, samples: &Samples, bare: &Samples, codex_cpu_ms: f64) -> Option<Row> {
    let at_once = phase.at_once as f64;
    let turns = || samples.rounds.iter().flat_map(|round| &round.turns);
    let pairs = || samples.rounds.iter().zip(&bare.rounds);
    let wall = |round: &Round| round.wall_ms / at_once;
    let turn = Spread::of(samples.rounds.iter().map(wall))?;
    let ratio = Spread::of(pairs().map(|(round, bare)| wall(round) / wall(bare)))?;
    let added = Spread::of(pairs().map(|(round, bare)| wall(round) - wall(bare)))?;
    let peak = samples.peak;
    Some(Row {
        side: samples.side,
        codex: phase.codex,
        concurrency: phase.at_once,
        mode: phase.mode,
        n: turns().count(),
        first_event_ms: rounded(Spread::of(turns().map(|turn| turn.first_event_ms))?.median),
        first_text_ms: rounded(Spread::of(turns().map(|turn| turn.first_text_ms))?.median),
        latency_ms: rounded(Spread::of(turns().map(|turn| turn.turn_ms))?.median),
        turn_ms: rounded(turn.median),
        turn_low_ms: rounded(turn.low),
        turn_high_ms: rounded(turn.high),
        added_ms: rounded(added.median),
        ratio_to_bare: rounded(ratio.median),
        ratio_low: rounded(ratio.low),
        ratio_high: rounded(ratio.high),
        cpu_ms: rounded(samples.tree_cpu_ms - codex_cpu_ms),
        cpu_own_ms: rounded(samples.own_cpu_ms),
        cpu_tree_ms: rounded(samples.tree_cpu_ms),
        peak_rss_kib: peak.map(|peak| peak.process_kib as u64),
        helpers_pss_kib: peak
            .filter(|_| phase.codex == Kind::Real)
            .map(|peak| peak.helpers_kib as u64),
    })
}

/// To a thousandth.
pub fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// The rows for people to read.
pub fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    let mut heading = String::new();
    for row in rows {
        let form = match row.mode {
            Mode::Live => "in a live process",
            Mode::Program => "as a whole program",
        };
        let codex = format!("{:?}", row.codex).to_lowercase();
        let this = format!("{codex} codex, {form}, {} at a time", row.concurrency);
        if this != heading {
            let _ = writeln!(
                table,
                "\n{this}\n  {:<14}{:>7}{:>10}{:>10}{:>10}{:>10}{:>8}  {:<13}{:>9}{:>9}{:>10}{:>10}",
                "side",
                "n",
                "1st event",
                "latency",
                "ms/turn",
                "added",
                "ratio",
                "(quartiles)",
                "cpu ms",
                "own cpu",
                "peak MiB",
                "+helpers",
            );
            heading = this;
        }
        let mib = |kib: Option<u64>| match kib {
            Some(kib) => format!("{:.1}", kib as f64 / 1024.0),
            None => "-".to_owned(),
        };
        let _ = writeln!(
            table,
            "  {:<14}{:>7}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>8.3}  {:<13}{:>9.2}{:>9.2}{:>10}{:>10}",
            row.side,
            row.n,
            row.first_event_ms,
            row.latency_ms,
            row.turn_ms,
            row.added_ms,
            row.ratio_to_bare,
            format!("{:.3}-{:.3}", row.ratio_low, row.ratio_high),
            row.cpu_ms,
            row.cpu_own_ms,
            mib(row.peak_rss_kib),
            mib(row.helpers_pss_kib),
        );
    }
    table
}
