//! Measures this project beside what it was before, in turn (A B B A …): what `bench-peers` does not.
//!
//! `bench-compare [--quick] BEFORE AFTER SCRATCH PEERS JSON MARKDOWN WHAT [DOCUMENT]`: BEFORE and AFTER are folders with the programs of
//! the two, as `scripts/bench.sh --compare` fills them. Only what they have is measured. SCRATCH gets what the programs
//! write. PEERS is what `bench-peers --before …` has written, which becomes part of the table.
//! WHAT is told as it is. The table goes to JSON, MARKDOWN, and the DOCUMENT between its marks for it.

mod benchmarks;
mod figures;
mod version;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use bench_peers::comparison::{Comparison, Verdict, table};
use bench_peers::docs;
use serde_json::{Value, json};

use version::Version;

const USAGE: &str =
    "usage: bench-compare [--quick] BEFORE AFTER SCRATCH PEERS JSON MARKDOWN WHAT [DOCUMENT]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let quick = words.first().is_some_and(|first| first == "--quick");
    let words = words.split_off(usize::from(quick));
    let paths: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
    let [
        before,
        after,
        scratch,
        peers,
        results,
        markdown,
        what,
        document @ ..,
    ] = &paths[..]
    else {
        anyhow::bail!(USAGE);
    };
    let versions = [Version::in_folder(before), Version::in_folder(after)];
    fs::create_dir_all(scratch).with_context(|| format!("cannot create {}", scratch.display()))?;

    let mut measured: Value = version::read(peers)?;
    let mut all: Vec<Comparison> = serde_json::from_value(measured["comparisons"].take())
        .with_context(|| format!("{} has no comparisons", peers.display()))?;
    all.extend(benchmarks::compare(&versions, scratch, quick)?);
    all.extend(figures::compare(&versions, scratch, quick)?);

    let table = format!("{}:\n\n{}", what.display(), table(&all));
    println!("{table}");
    if let [document, ..] = document {
        docs::write(document, "compare", &table)?;
    }
    fs::write(markdown, &table).with_context(|| format!("cannot write {}", markdown.display()))?;
    let worse = all.iter().filter(|one| one.verdict() == Verdict::Worse);
    let worse: Vec<&str> = worse.map(|one| &*one.what).collect();
    let text = serde_json::to_string_pretty(&json!({ "worse": worse, "rows": all }))?;
    fs::write(results, text + "\n")
        .with_context(|| format!("cannot write {}", results.display()))?;
    eprintln!(
        "{} of {} rows are worse by more than 3 %",
        worse.len(),
        all.len()
    );
    Ok(())
}
