//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: bench-peers --scratch DIR [options]

Measures wrappers of codex side by side and prints a table. A side whose paths are not given is left out.

  --scratch DIR        a folder for homes and workspaces, on a disk; not below the temporary folder,
                       where codex prints a warning on each start
  --node FILE          Node.js 22 or newer, for the sides in JavaScript
  --node-modules DIR   what `npm ci --omit=optional` installed for tests/bench/node
  --ours FILE          plexum-openai-provider, for this project's side as a program
  --ours-live FILE     side-ours, for this project's side in a live process
  --before FILE        plexum-openai-provider as it was before: only the two are measured, beside codex alone
  --before-live FILE   side-ours, likewise
  --real-codex FILE    the native program of the real codex; without it, only the fake one is used
  --old-codex FILE     an older one, which this project streams with as well
  --mock-model FILE    mock-model, which answers the real codex
  --fake-codex FILE    a codex that answers at once (default: fake-codex.c, built with `cc`)
  --json FILE          write the figures there too
  --seconds N          how long to measure whole turns, roughly (default 140; this takes about a minute more). 0: not
                       at all
  --at-once N          how many turns at a time, besides one (default 50)
  --streaming N        in how many rounds to measure streaming, with the real codex (default 6; each takes about 15
                       seconds, and all of it two minutes more). 0: not at all
  --quick              the same as --seconds 40 --at-once 10 --streaming 2: shows that it works, not how fast
  -h, --help           print this text

The programs of the other sides in Rust are looked for beside this one.
";

/// What the command line asks for.
#[derive(Debug)]
pub struct Arguments {
    pub scratch: PathBuf,
    pub node: Option<PathBuf>,
    pub node_modules: Option<PathBuf>,
    pub ours: Option<PathBuf>,
    pub ours_live: Option<PathBuf>,
    pub before: Option<PathBuf>,
    pub before_live: Option<PathBuf>,
    pub real_codex: Option<PathBuf>,
    pub old_codex: Option<PathBuf>,
    pub mock_model: Option<PathBuf>,
    pub fake_codex: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub seconds: f64,
    pub at_once: usize,
    pub streaming: usize,
}

impl Arguments {
    /// Whether this project is compared with what it was before, and not with others.
    pub fn compares(&self) -> bool {
        self.before.is_some() || self.before_live.is_some()
    }
}

/// Reads the command line; `None` when it asks for help.
pub fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Option<Arguments>> {
    let mut arguments = Arguments {
        scratch: PathBuf::new(),
        node: None,
        node_modules: None,
        ours: None,
        ours_live: None,
        before: None,
        before_live: None,
        real_codex: None,
        old_codex: None,
        mock_model: None,
        fake_codex: None,
        json: None,
        seconds: 140.0,
        at_once: 50,
        streaming: 6,
    };
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "-h" | "--help") {
            return Ok(None);
        }
        if word == "--quick" {
            (arguments.seconds, arguments.at_once, arguments.streaming) = (40.0, 10, 2);
            continue;
        }
        let value = words
            .next()
            .with_context(|| format!("{word} needs a value, or is unknown; see --help"))?;
        let number = || format!("{word} needs a number, and `{value}` is none");
        let existing = || {
            // A program that is started in another folder must not be named relative to this one.
            let path = std::path::absolute(&value)?;
            std::fs::metadata(&path).with_context(|| format!("{word}: there is no {value}"))?;
            anyhow::Ok(path)
        };
        match word.as_str() {
            "--scratch" => arguments.scratch = value.into(),
            "--node" => arguments.node = Some(existing()?),
            "--node-modules" => arguments.node_modules = Some(existing()?),
            "--ours" => arguments.ours = Some(existing()?),
            "--ours-live" => arguments.ours_live = Some(existing()?),
            "--before" => arguments.before = Some(existing()?),
            "--before-live" => arguments.before_live = Some(existing()?),
            "--real-codex" => arguments.real_codex = Some(existing()?.canonicalize()?),
            "--old-codex" => arguments.old_codex = Some(existing()?.canonicalize()?),
            "--mock-model" => arguments.mock_model = Some(existing()?),
            "--fake-codex" => arguments.fake_codex = Some(existing()?.canonicalize()?),
            "--json" => arguments.json = Some(value.into()),
            "--seconds" => arguments.seconds = value.parse().with_context(number)?,
            "--streaming" => arguments.streaming = value.parse().with_context(number)?,
            "--at-once" => arguments.at_once = value.parse().with_context(number)?,
            _ => bail!("unknown argument `{word}`; see --help"),
        }
    }
    if arguments.scratch.as_os_str().is_empty() {
        bail!("--scratch is missing; see --help");
    }
    Ok(Some(arguments))
}
