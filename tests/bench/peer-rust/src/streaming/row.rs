//! The figures of streaming, as rows of JSON and as a table.

use std::fmt::Write as _;
use std::time::Duration;

use bench_peers::side::milliseconds;
use bench_peers::statistics::quantile;
use serde::Serialize;

use crate::row::rounded;

use super::contender::{Contender, DIRECT, EXEC};
use super::{Held, Sample};

/// What is asked of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// A conversation's first turn, and whatever has to be started for it.
    Start,
    /// A further turn, of a model that answers at once.
    Instant,
    /// A further turn in each folder, all at once, of a model that answers at once. The first piece is that of the turn in
    /// the middle, the end that of the last one, divided by their number.
    Together,
    /// A further turn, of a model that writes fifty pieces with 20 ms between them.
    Slow,
}

/// One side at one work. Milliseconds are a turn's, medians unless they say otherwise.
#[derive(Debug, Serialize)]
pub struct Row {
    side: &'static str,
    /// Its version.
    codex: String,
    work: Work,
    folders: usize,
    n: usize,
    /// Until the first piece of the answer.
    first_ms: f64,
    first_p90_ms: f64,
    end_ms: f64,
    end_p90_ms: f64,
    /// The fewest of a turn.
    pieces: usize,
    gap_ms: Option<f64>,
    gap_p99_ms: Option<f64>,
    /// More than the direct client in the same round.
    first_added_ms: Option<f64>,
    end_added_ms: Option<f64>,
    /// Times what this project takes with `codex exec` in the same round.
    first_to_exec: Option<f64>,
    end_to_exec: Option<f64>,
    /// Means: of what is not codex, and of all processes together.
    cpu_adapter_ms: Option<f64>,
    cpu_all_ms: Option<f64>,
    rss_adapter_kib: Option<u64>,
    pss_adapter_kib: Option<u64>,
    rss_all_kib: Option<u64>,
    pss_all_kib: Option<u64>,
    pss_busy_kib: Option<u64>,
}

/// The rows of one work; `samples` and `held` are in the order of the sides.
pub fn rows(
    work: Work,
    folders: usize,
    sides: &[&Contender],
    samples: &[Vec<Sample>],
    held: &[Held],
) -> Vec<Row> {
    let of = |name: &str, version: &str| {
        let mut sides = sides.iter().zip(samples);
        sides
            .find(|(side, _)| side.name == name && side.version == version)
            .map(|(_, samples)| &samples[..])
    };
    let mut rows = Vec::new();
    for (number, (side, samples)) in sides.iter().zip(samples).enumerate() {
        let direct = of(DIRECT, &side.version).filter(|_| side.name != DIRECT);
        let exec = of(EXEC, &side.version).filter(|_| side.name != EXEC);
        rows.extend(row(
            work,
            folders,
            side,
            samples,
            (direct, exec),
            held.get(number),
        ));
    }
    rows
}

fn row(
    work: Work,
    folders: usize,
    side: &Contender,
    samples: &[Sample],
    (direct, exec): (Option<&[Sample]>, Option<&[Sample]>),
    held: Option<&Held>,
) -> Option<Row> {
    let first = |sample: &Sample| milliseconds(sample.streamed.pieces[0]);
    let end = |sample: &Sample| milliseconds(sample.streamed.end);
    let at = |share, of: fn(&Sample) -> f64| quantile(samples.iter().map(of), share).map(rounded);
    let pairs = |beside: Option<&[Sample]>, of: &dyn Fn(&Sample, &Sample) -> f64| {
        let pairs = samples.iter().zip(beside?);
        quantile(pairs.map(|(sample, beside)| of(sample, beside)), 0.5).map(rounded)
    };
    let gaps = samples
        .iter()
        .flat_map(|sample| sample.streamed.pieces.windows(2));
    let gaps: Vec<f64> = gaps.map(|pair| milliseconds(pair[1] - pair[0])).collect();
    let gap = |share| quantile(gaps.iter().copied(), share).map(rounded);
    let cpu = |of: fn(&Sample) -> Duration| {
        let sum: Duration = samples.iter().map(of).sum();
        (work != Work::Start).then(|| rounded(milliseconds(sum) / samples.len() as f64))
    };
    // The direct client is in this process.
    let has_adapter = side.name != DIRECT;
    Some(Row {
        side: side.name,
        codex: side.version.clone(),
        work,
        folders,
        n: samples.len(),
        first_ms: at(0.5, first)?,
        first_p90_ms: at(0.9, first)?,
        end_ms: at(0.5, end)?,
        end_p90_ms: at(0.9, end)?,
        pieces: samples
            .iter()
            .map(|sample| sample.streamed.pieces.len())
            .min()?,
        gap_ms: gap(0.5),
        gap_p99_ms: gap(0.99),
        first_added_ms: pairs(direct, &|sample, beside| first(sample) - first(beside)),
        end_added_ms: pairs(direct, &|sample, beside| end(sample) - end(beside)),
        first_to_exec: pairs(exec, &|sample, beside| first(sample) / first(beside)),
        end_to_exec: pairs(exec, &|sample, beside| end(sample) / end(beside)),
        cpu_adapter_ms: cpu(|sample| sample.cpu.adapter).filter(|_| has_adapter),
        cpu_all_ms: cpu(|sample| sample.cpu.all),
        rss_adapter_kib: held
            .filter(|_| has_adapter)
            .map(|held| held.idle.adapter.rss),
        pss_adapter_kib: held
            .filter(|_| has_adapter)
            .map(|held| held.idle.adapter.pss),
        rss_all_kib: held.map(|held| held.idle.all.rss),
        pss_all_kib: held.map(|held| held.idle.all.pss),
        pss_busy_kib: held.map(|held| held.busy),
    })
}

/// The rows for people to read.
pub fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    let mut last = None;
    let ms = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.1}"));
    let ratio =
        |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.3}"));
    let mib =
        |kib: Option<u64>| kib.map_or("-".to_owned(), |kib| format!("{:.0}", kib as f64 / 1024.0));
    for row in rows {
        if last.replace((row.work, row.folders)) != Some((row.work, row.folders)) {
            let _ = writeln!(
                table,
                "\nstreaming, {:?}, {} folders\n  {:<11}{:<8}{:>4}{:>8}{:>8}{:>8}{:>8}{:>7}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}{:>7}",
                row.work,
                row.folders,
                "side",
                "codex",
                "n",
                "first",
                "(p90)",
                "end",
                "(p90)",
                "pieces",
                "gap p99",
                "+first",
                "+end",
                "first/x",
                "end/x",
                "cpu",
                "all",
                "MiB PSS",
                "all",
                "all RSS",
                "busy",
            );
        }
        let _ = writeln!(
            table,
            "  {:<11}{:<8}{:>4}{:>8.1}{:>8.1}{:>8.1}{:>8.1}{:>7}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}{:>7}",
            row.side,
            row.codex,
            row.n,
            row.first_ms,
            row.first_p90_ms,
            row.end_ms,
            row.end_p90_ms,
            row.pieces,
            ms(row.gap_p99_ms),
            ms(row.first_added_ms),
            ms(row.end_added_ms),
            ratio(row.first_to_exec),
            ratio(row.end_to_exec),
            ms(row.cpu_adapter_ms),
            ms(row.cpu_all_ms),
            mib(row.pss_adapter_kib),
            mib(row.pss_all_kib),
            mib(row.rss_all_kib),
            mib(row.pss_busy_kib),
        );
    }
    table
}
