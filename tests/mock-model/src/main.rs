//! The mock model as a program, for trying codex out by hand and for tests in other languages.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use plexum_openai_provider_mock_model::codex_home::CodexHome;
use plexum_openai_provider_mock_model::{MockModel, Options, Scenario};

const USAGE: &str = "\
Usage: mock-model [--port N] [--record FILE] [--codex-home DIR]

Answers POST /v1/responses on 127.0.0.1 as the OpenAI Responses API does, and prints one line of
JSON, {\"base_url\": \"...\"}, when it listens. It ends when its standard input does.

  --port N          the port to listen on (default: a free one)
  --record FILE     append each request to FILE as one line of JSON
  --codex-home DIR  make DIR a CODEX_HOME whose codex talks to this server
  -h, --help        print this text

A prompt that starts with mock:<scenario> chooses what it answers; others are echoed.
";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Arguments {
    help: bool,
    options: Options,
    codex_home: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mock-model: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments = parse(std::env::args().skip(1))?;
    if arguments.help {
        return help();
    }
    let model = MockModel::start_with(arguments.options)?;
    if let Some(folder) = arguments.codex_home {
        CodexHome::create_in(&folder, &model.base_url())?;
    }
    let ready = serde_json::json!({ "base_url": model.base_url() });
    let mut stdout = io::stdout();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    // What started it holds the other end, so it cannot outlive that.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Arguments> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "-h" | "--help" => arguments.help = true,
            "--port" => {
                let port = value()?;
                arguments.options.port = port
                    .parse()
                    .with_context(|| format!("`{port}` is no port"))?;
            }
            "--record" => arguments.options.record = Some(value()?.into()),
            "--codex-home" => arguments.codex_home = Some(value()?.into()),
            _ => bail!("unknown argument `{word}`; see --help"),
        }
    }
    Ok(arguments)
}

fn help() -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{USAGE}")?;
    for scenario in Scenario::ALL {
        let form = match scenario.argument() {
            "" => scenario.name().to_owned(),
            argument => format!("{}={argument}", scenario.name()),
        };
        writeln!(stdout, "  {form:<42} {}", scenario.explanation())?;
    }
    Ok(())
}
