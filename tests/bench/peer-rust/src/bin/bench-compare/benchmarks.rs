//! The benchmarks of criterion, in short runs of the one version and the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use bench_peers::comparison::Comparison;
use bench_peers::{criterion, folder};

use crate::version::{Version, run};

/// The program.
const PROGRAM: &str = "host";

/// What is run in one go. What is not this project's does not change with it.
struct Part {
    /// As criterion takes it.
    filter: &'static str,
    options: &'static [&'static str],
    rounds: usize,
    unit: &'static str,
    /// What a nanosecond is in the unit: criterion's figures are nanoseconds, of an element or a byte where it has many.
    factor: f64,
}

const SHORT: &[&str] = &[
    "--warm-up-time=0.2",
    "--measurement-time=0.6",
    "--sample-size=20",
];

/// A gibibyte in seconds, of which a byte is a nanosecond.
const GIB: f64 = (1_u64 << 30) as f64 / 1e9;

const PARTS: [Part; 2] = [
    // In one go, as the program prepares all of them each time.
    Part {
        filter: "^(translation/(sandbox|native)/|start/(load|instantiate)|turn/)",
        options: SHORT,
        rounds: 6,
        unit: "µs",
        factor: 1e-3,
    },
    Part {
        filter: "^stream/turn$",
        // As few times as it can be.
        options: &["--quick"],
        rounds: 6,
        unit: "s",
        factor: GIB,
    },
];

/// Runs them all.
pub fn compare(
    versions: &[Version; 2],
    scratch: &Path,
    quick: bool,
) -> anyhow::Result<Vec<Comparison>> {
    let mut all = Vec::new();
    for part in &PARTS {
        let began = Instant::now();
        let rounds = if quick { 2 } else { part.rounds };
        let mut comparisons: BTreeMap<String, Comparison> = BTreeMap::new();
        for round in 0..rounds {
            let medians = in_turn(round, |number| measure(part, &versions[number], scratch))?;
            for (number, medians) in medians.into_iter().enumerate() {
                for (what, ns) in medians {
                    let new = || Comparison::new(format!("bench {what}"), part.unit);
                    let one = comparisons.entry(what.clone()).or_insert_with(new);
                    let figures = [&mut one.before, &mut one.after];
                    figures[number].push(ns * part.factor);
                }
            }
        }
        all.extend(comparisons.into_values());
        let seconds = began.elapsed().as_secs_f64();
        eprintln!("Benchmarks {}: {seconds:.1} s", part.filter);
    }
    Ok(all)
}

/// Measures both, in another order in each round; the results in theirs.
pub fn in_turn<T>(
    round: usize,
    mut measure: impl FnMut(usize) -> anyhow::Result<T>,
) -> anyhow::Result<[T; 2]> {
    Ok(if round.is_multiple_of(2) {
        let before = measure(0)?;
        [before, measure(1)?]
    } else {
        let after = measure(1)?;
        [measure(0)?, after]
    })
}

fn measure(
    part: &Part,
    version: &Version,
    scratch: &Path,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let Some(program) = version.program(PROGRAM) else {
        return Ok(BTreeMap::new());
    };
    let home = scratch.join(format!("criterion-{}", version.name()));
    folder::remove(&home)?;
    let mut command = Command::new(program);
    command
        .args(["--bench", "--noplot", part.filter])
        .args(part.options)
        .env("CRITERION_HOME", &home);
    run(&mut command, &scratch.join("criterion.log"))?;
    criterion::medians(&home)
}
