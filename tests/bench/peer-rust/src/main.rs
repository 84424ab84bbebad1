//! Measures this project beside the official SDK, the AI SDK's provider, a published Rust wrapper,
//! and codex alone, one after another in turn (A B C A B C …) in one run.
//!
//! `tests/bench/README.md` says what is measured, and how.

mod arguments;
mod codex;
mod live;
mod memory;
mod order;
mod phase;
mod row;
mod sides;
mod start;
mod streaming;
mod versions;
mod workspaces;

use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use arguments::Arguments;

fn main() -> ExitCode {
    let result = match arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => run(&arguments),
        Ok(None) => {
            print!("{}", arguments::USAGE);
            Ok(())
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    // Twice what they take, by default.
    let streaming = 300 + 50 * arguments.streaming as u64;
    let turns = Duration::from_secs_f64(2.0 * arguments.seconds + 120.0);
    give_up_after(turns + Duration::from_secs(streaming));
    fs::create_dir_all(&arguments.scratch)?;
    let scratch = tempfile::Builder::new()
        .prefix("bench-peers-")
        .tempdir_in(arguments.scratch.canonicalize()?)?;
    let sides = sides::all(arguments, scratch.path())?;
    let (mut rows, mut comparisons) = (Vec::new(), Vec::new());
    let mut starts = Vec::new();
    if arguments.seconds > 0.0 {
        for codex in codex::all(arguments, scratch.path(), &sides)? {
            if codex.kind == codex::Kind::Fake {
                let measured = start::all(arguments, &codex, &sides)?;
                starts.extend(measured.rows);
                comparisons.extend(measured.comparisons);
            }
            let measured = phase::all(arguments, &codex, &sides)?;
            rows.extend(measured.rows);
            comparisons.extend(measured.comparisons);
        }
    }
    let mut streams = Vec::new();
    if let (1.., Some(_), Some(model)) = (
        arguments.streaming,
        &arguments.real_codex,
        &arguments.mock_model,
    ) {
        let model = codex::Model::start(model, &scratch.path().join("streaming-model"))?;
        let measured = streaming::all(arguments, scratch.path(), &model)?;
        streams.extend(measured.rows);
        comparisons.extend(measured.comparisons);
    }
    if arguments.streaming > 0 {
        let fake = codex::fake(arguments, scratch.path())?;
        let measured = streaming::on_fake(arguments, scratch.path(), &fake)?;
        streams.extend(measured.rows);
        comparisons.extend(measured.comparisons);
    }
    println!(
        "{}{}{}",
        row::table(&rows),
        start::table(&starts),
        streaming::table(&streams)
    );
    if let Some(path) = &arguments.json {
        let all = serde_json::json!({
            "turns": rows,
            "starts": starts,
            "streaming": streams,
            "comparisons": comparisons,
        });
        let text = serde_json::to_string_pretty(&all)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    eprintln!("Measured in {:.0} s.", began.elapsed().as_secs_f64());
    Ok(())
}

/// Ends the program when a side hangs. All that it has started ends with its standard input, or by itself.
fn give_up_after(time: Duration) {
    thread::spawn(move || {
        thread::sleep(time);
        eprintln!("bench-peers: gave up after {} s", time.as_secs());
        std::process::exit(1);
    });
}
