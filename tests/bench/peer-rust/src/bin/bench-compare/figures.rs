//! What programs of their own measure: memory, and a store of a fleet.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use bench_peers::comparison::Comparison;
use serde_json::Value;

use crate::benchmarks::in_turn;
use crate::version::{Version, read, run};

/// The codex that the programs are pointed at. Both get that of the version after.
const CODEX: &str = "fake-codex";

/// A program, its arguments after that codex, and the figures that it writes.
struct Tool {
    program: &'static str,
    /// `CODEX` is that codex.
    words: &'static [&'static str],
    quick_words: &'static [&'static str],
    rounds: usize,
    figures: &'static [Figure],
}

/// What it is, where it is in the file, and its unit.
type Figure = (&'static str, &'static str, &'static str);

const TOOLS: [Tool; 5] = [
    Tool {
        program: "memory",
        words: &["open", CODEX, "200", "5"],
        quick_words: &["open", CODEX, "50", "2"],
        rounds: 2,
        figures: &[
            ("memory of an open turn", "/kib_a_turn", "KiB"),
            ("memory of its supervisor", "/supervisor_kib", "KiB"),
        ],
    },
    Tool {
        program: "memory",
        words: &["sequence", CODEX, "1000"],
        quick_words: &["sequence", CODEX, "200"],
        rounds: 2,
        figures: &[(
            "memory after many turns in sequence",
            "/after_all_kib",
            "KiB",
        )],
    },
    Tool {
        program: "memory",
        words: &["stream", CODEX, "256"],
        quick_words: &["stream", CODEX, "64"],
        rounds: 2,
        figures: &[("most memory while a stream passes", "/peak_kib", "KiB")],
    },
    Tool {
        program: "memory",
        words: &["address-space", CODEX, "10"],
        quick_words: &["address-space", CODEX, "10"],
        rounds: 2,
        figures: &[("address space of ten open turns", "/peak_kib", "KiB")],
    },
    Tool {
        program: "fleet-load",
        // Without the load, of which nothing is compared.
        words: &["0"],
        quick_words: &["0"],
        rounds: 8,
        figures: &[
            (
                "a turn with files, no process",
                "/whole_turns/files_p50_ms",
                "ms",
            ),
            (
                "a turn with a fleet's store, no process",
                "/whole_turns/fleet_p50_ms",
                "ms",
            ),
            (
                "a restore of 10 MB from a fleet's store",
                "/whole_turns/restore_ms",
                "ms",
            ),
        ],
    },
];

/// Runs all that there are.
pub fn compare(
    versions: &[Version; 2],
    scratch: &Path,
    quick: bool,
) -> anyhow::Result<Vec<Comparison>> {
    let [_, after] = versions;
    let codex = after.program(CODEX).context("there is no fake-codex")?;
    let mut all = Vec::new();
    for tool in &TOOLS {
        if after.program(tool.program).is_none() {
            eprintln!("There is no {}: not measured", tool.program);
            continue;
        }
        let began = Instant::now();
        let words = if quick { tool.quick_words } else { tool.words };
        let rounds = if quick { 2 } else { tool.rounds };
        let new = |(what, _, unit): &Figure| Comparison::new(*what, *unit);
        let mut comparisons: Vec<Comparison> = tool.figures.iter().map(new).collect();
        for round in 0..rounds {
            let [before, after] = in_turn(round, |number| {
                let measured = measure(tool, words, &versions[number], &codex, scratch);
                match (number, measured) {
                    // An older one may not know what the newer one measures.
                    (0, Err(error)) => {
                        eprintln!("Not of the version before: {error:#}");
                        Ok(None)
                    }
                    (_, measured) => measured,
                }
            })?;
            for (comparison, (_, pointer, _)) in comparisons.iter_mut().zip(tool.figures) {
                let of = |file: &Option<Value>| file.as_ref()?.pointer(pointer)?.as_f64();
                comparison.before.extend(of(&before));
                comparison.after.extend(of(&after));
            }
        }
        all.extend(comparisons);
        let seconds = began.elapsed().as_secs_f64();
        eprintln!("{} {}: {seconds:.1} s", tool.program, words.join(" "));
    }
    Ok(all)
}

fn measure(
    tool: &Tool,
    words: &[&str],
    version: &Version,
    codex: &Path,
    scratch: &Path,
) -> anyhow::Result<Option<Value>> {
    let Some(program) = version.program(tool.program) else {
        return Ok(None);
    };
    let figures = scratch.join(format!("{}.json", tool.program));
    let mut command = Command::new(program);
    for word in words {
        match *word {
            CODEX => command.arg(codex),
            word => command.arg(word),
        };
    }
    command.arg(format!("--json={}", figures.display()));
    run(&mut command, &scratch.join(format!("{}.log", tool.program)))?;
    read(&figures).map(Some)
}
