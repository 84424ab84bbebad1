//! Puts what `scripts/bench.sh` has measured into tables, a file of JSON, and a chart.
//!
//! `bench-report FOLDER CRITERION MACHINE COMMAND [DOCUMENT]`: FOLDER has `peers.json`, `open.json`, `sequence.json`,
//! `stream.json`, `address-space.json`, and perhaps `fleet.json`, and gets `results.json`, `table.md` and `chart.svg`;
//! CRITERION is criterion's folder; MACHINE and COMMAND are told as they are. The tables also go to the DOCUMENT,
//! between its marks.

mod behind;
mod beside;
mod chart;
mod line;
mod measured;
mod streaming;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use bench_peers::docs;
use serde_json::json;

use line::Line;
use measured::Measured;

const USAGE: &str = "usage: bench-report FOLDER CRITERION MACHINE COMMAND [DOCUMENT]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-report: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().context(USAGE);
    let (folder, criterion) = (PathBuf::from(word()?), PathBuf::from(word()?));
    let (machine, command) = (word()?, word()?);
    let document = word().ok().map(PathBuf::from);
    let measured = Measured::read(&folder, &criterion)?;
    let lines = line::all(&measured)?;
    let heading = format!("`{command}`, {machine}");
    // By their names in the document.
    let tables = [
        ("targets", format!("{heading}\n\n{}", line::table(&lines))),
        ("others", beside::tables(&measured)),
        ("behind", behind::table(&measured)),
        ("streaming", streaming::tables(&measured)),
    ];
    let table = tables.iter().map(|(_, table)| table.trim());
    let table = table.collect::<Vec<_>>().join("\n\n") + "\n";
    println!("{table}");
    if let Some(document) = &document {
        for (name, table) in &tables {
            docs::write(document, name, table)?;
        }
    }
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("table.md", table)?;
    let results = json!({
        "machine": machine,
        "command": command,
        "lines": lines.iter().map(Line::to_json).collect::<Vec<_>>(),
        "criterion_ns": measured.criterion,
        "peers": measured.peers,
        "streaming": measured.streaming,
        "starts": measured.starts,
        "fleet": measured.fleet,
        "memory": {
            "open": measured.open,
            "sequence": measured.sequence,
            "stream": measured.stream,
            "address_space": measured.address_space,
        },
    });
    write(
        "results.json",
        serde_json::to_string_pretty(&results)? + "\n",
    )?;
    write("chart.svg", chart::svg(&measured, &lines, &machine)?)?;
    eprintln!(
        "Written to {}: results.json, table.md, chart.svg",
        folder.display()
    );
    Ok(())
}
