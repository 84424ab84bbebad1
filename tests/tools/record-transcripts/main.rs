//! Records what the real codex prints, for every case of the table and every codex that is
//! installed, into the folder of transcripts.

mod app_server;
mod lab;
mod process;
mod recording;
mod rollout;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, bail};
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::transcript::{self, Case};

/// How many cases of one version run at the same time. Most of them wait for a retry, and more
/// would make codex miss its own deadlines on a small machine.
const AT_ONCE: usize = 4;

const USAGE: &str = "\
Usage: record-transcripts [--out DIR] [--only CASE]...

Records every case with every real codex that is installed.

  --out DIR    where to write instead of tests/transcripts
  --only CASE  only this case; may be given more than once";

/// What the command line asks for.
struct Options {
    out: PathBuf,
    only: Vec<String>,
}

fn main() -> ExitCode {
    let outcome = read_options().and_then(|options| match options {
        Some(options) => record(&options),
        None => {
            println!("{USAGE}");
            Ok(())
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("record-transcripts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The options; None when help is asked for.
fn read_options() -> anyhow::Result<Option<Options>> {
    let mut options = Options {
        out: transcript::folder(),
        only: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "--out" => options.out = value()?.into(),
            "--only" => options.only.push(value()?),
            "--help" | "-h" => return Ok(None),
            other => bail!("unknown argument `{other}`\n\n{USAGE}"),
        }
    }
    let unknown = |name: &&String| !transcript::cases().any(|case| case.name == **name);
    if let Some(name) = options.only.iter().find(unknown) {
        let names: Vec<_> = transcript::cases().map(|case| case.name).collect();
        bail!("there is no case `{name}`; there are: {}", names.join(", "));
    }
    Ok(Some(options))
}

fn record(options: &Options) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for codex in RealCodex::require()? {
        let began = Instant::now();
        let cases = transcript::cases().filter(|case| {
            let asked_for = options.only.is_empty() || options.only.iter().any(|o| o == case.name);
            asked_for && is_possible(case, &codex.version)
        });
        failures.extend(record_all(
            &codex,
            cases,
            &options.out.join(&codex.version),
        )?);
        let seconds = began.elapsed().as_secs();
        eprintln!("{}: recorded in {seconds} s", codex.version);
    }
    if !failures.is_empty() {
        bail!("not recorded:\n{}", failures.join("\n"));
    }
    Ok(())
}

fn is_possible(case: &Case, version: &str) -> bool {
    match case.missing_on(version) {
        Some(reason) => {
            eprintln!("{version}: {} is left out: {reason}", case.name);
            false
        }
        None => true,
    }
}

/// Records cases of one codex. Returns what went wrong, a line a case.
fn record_all(
    codex: &RealCodex,
    cases: impl Iterator<Item = &'static Case> + Send,
    out: &Path,
) -> anyhow::Result<Vec<String>> {
    let waiting = Mutex::new(cases);
    let failures = Mutex::new(Vec::new());
    let poisoned = "no thread panics while it holds the lock";
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    // A statement of its own, so that the lock is not held while codex runs.
                    let next = waiting.lock().map(|mut waiting| waiting.next());
                    let Ok(Some(case)) = next else { break };
                    let recorded = lab::run(codex, case)
                        .and_then(|recording| recording.write_to(&out.join(case.name)));
                    match recorded {
                        Ok(()) => eprintln!("{}: {}", codex.version, case.name),
                        Err(error) => {
                            let line = format!("{}: {}: {error:#}", codex.version, case.name);
                            if let Ok(mut failures) = failures.lock() {
                                failures.push(line);
                            }
                        }
                    }
                }
            });
        }
    });
    failures.into_inner().map_err(|_| anyhow::anyhow!(poisoned))
}
