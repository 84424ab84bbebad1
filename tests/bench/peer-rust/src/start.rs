//! The first start of this project on a machine, on which the component is not yet compiled, beside the next one.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use bench_peers::comparison::Comparison;
use bench_peers::folder;
use bench_peers::processes;
use bench_peers::side::milliseconds;
use bench_peers::statistics::Spread;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::codex::Codex;
use crate::order::order;
use crate::row::rounded;
use crate::sides::{BEFORE, OURS, Side, versions};
use crate::workspaces::Workspaces;

/// How often each is started, at most.
const ROUNDS: usize = 12;

/// The part of the whole time that this takes, at most. A start that compiles may take a second.
const SHARE: f64 = 0.06;

/// A whole turn of a program, from its start to its end.
#[derive(Debug, Serialize)]
pub struct Row {
    side: &'static str,
    /// Whether the machine code was there.
    warm: bool,
    n: usize,
    first_event_ms: f64,
    turn_ms: f64,
    turn_low_ms: f64,
    turn_high_ms: f64,
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Results {
    pub rows: Vec<Row>,
    /// This project beside what it was before.
    pub comparisons: Vec<Comparison>,
}

/// Starts this project, with and without its machine code in turn.
pub fn all(arguments: &Arguments, codex: &Codex, sides: &[Side]) -> anyhow::Result<Results> {
    let sides: Vec<&Side> = sides
        .iter()
        .filter(|side| [BEFORE, OURS].contains(&side.name))
        .filter(|side| side.program(codex, &codex.folder).is_some())
        .collect();
    let began = Instant::now();
    // Of each side: cold ones, then warm ones.
    let mut all: Vec<[Vec<[f64; 2]>; 2]> = sides.iter().map(|_| Default::default()).collect();
    let mut workspaces = Vec::new();
    for side in &sides {
        let parent = side.workspaces(codex, "start");
        workspaces.push(Workspaces::create(&parent, 2 * ROUNDS)?);
    }
    for round in 0..ROUNDS {
        if round >= 3 && began.elapsed().as_secs_f64() > SHARE * arguments.seconds {
            break;
        }
        for number in order(round, sides.len()) {
            let cache = codex.folder.join(format!("cache-{}", sides[number].name));
            folder::remove(&cache)?;
            // The first puts the machine code there for the second.
            for took in &mut all[number] {
                let folder = workspaces[number].take(1).remove(0);
                let command = sides[number].program(codex, &folder);
                let mut command = command.context("it was there")?;
                command.env("XDG_CACHE_HOME", &cache);
                took.push(start(command)?);
            }
        }
    }
    eprintln!("Starts: {:.1} s", began.elapsed().as_secs_f64());
    let mut results = Results::default();
    for (side, both) in sides.iter().zip(&all) {
        for (took, warm) in both.iter().zip([false, true]) {
            results.rows.extend(row(side, warm, took));
        }
    }
    if let Some([before, after]) = versions(sides.iter().map(|side| side.name)) {
        for (warm, what) in [(0, "without its machine code"), (1, "with it")] {
            let turns = |of: usize| all[of][warm].iter().map(|[_, turn]| *turn).collect();
            results.comparisons.push(Comparison {
                before: turns(before),
                after: turns(after),
                ..Comparison::new(format!("a first start of `say`, {what}"), "ms")
            });
        }
    }
    Ok(results)
}

/// Until the first event, and until the end.
fn start(mut command: Command) -> anyhow::Result<[f64; 2]> {
    command.stderr(std::process::Stdio::null());
    let began = Instant::now();
    let ended = processes::run(vec![command], began)?;
    let turn = milliseconds(began.elapsed());
    Ok([ended[0].timing.first_event_ms, turn])
}

fn row(side: &Side, warm: bool, took: &[[f64; 2]]) -> Option<Row> {
    let turn = Spread::of(took.iter().map(|[_, turn]| *turn))?;
    let first = Spread::of(took.iter().map(|[first, _]| *first))?;
    Some(Row {
        side: side.name,
        warm,
        n: took.len(),
        first_event_ms: rounded(first.median),
        turn_ms: rounded(turn.median),
        turn_low_ms: rounded(turn.low),
        turn_high_ms: rounded(turn.high),
    })
}

/// The rows for people to read.
pub fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    for row in rows {
        let code = match row.warm {
            true => "with its machine code",
            false => "without its machine code",
        };
        let _ = writeln!(
            table,
            "{} as a program, {code}: {:.2} ms to the first event, {:.2} ms ({:.2}-{:.2}) to the end",
            row.side, row.first_event_ms, row.turn_ms, row.turn_low_ms, row.turn_high_ms,
        );
    }
    table
}
