//! `app-server` as it was recorded.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use plexum_openai_provider_tests::fake_codex::{DIALOGUE_FILE, DIALOGUE_HOME};
use plexum_openai_provider_tests::transcript::{Dialogue, Said};
use serde_json::Value;

/// Says what codex has said, each line as soon as the host has said all that stands before it. The host has to say what it
/// said then. Returns the exit code.
pub(crate) fn play(workspace: &Path) -> anyhow::Result<i32> {
    let file = workspace.join(DIALOGUE_FILE);
    let (own, rest) = Dialogue::read(&fs::read_to_string(&file)?)?.split_first()?;
    fs::write(&file, rest.to_string())?;
    let here = Here {
        workspace: workspace.to_str().context("a path that is no text")?,
    };
    let mut heard = io::stdin().lock().lines();
    let mut out = io::stdout().lock();
    for said in own.0 {
        match said {
            Said::Host(recorded) => {
                // A host may close it at any time.
                let Some(line) = heard.next() else {
                    return Ok(0);
                };
                let (line, recorded) = (line?, here.put_into(&recorded));
                let [said, expected] =
                    [&line, &recorded].map(|text| serde_json::from_str::<Value>(text));
                ensure!(
                    said? == expected?,
                    "the host says {line}, and in the recording {recorded}"
                );
            }
            Said::Codex(line) => {
                let line = here.put_into(&line);
                keep_rollout(&line)?;
                writeln!(out, "{line}")?;
                out.flush()?;
            }
        }
    }
    if let Some(more) = heard.next() {
        anyhow::bail!("in the recording, the host does not say {}", more?);
    }
    Ok(0)
}

/// The places of this run.
struct Here<'a> {
    workspace: &'a str,
}

impl Here<'_> {
    fn put_into(&self, line: &str) -> String {
        let version = format!(r#""version":"{}""#, env!("CARGO_PKG_VERSION"));
        let home = format!("{}/{DIALOGUE_HOME}", self.workspace);
        line.replace(Dialogue::WORKSPACE, self.workspace)
            .replace(Dialogue::CODEX_HOME, &home)
            .replace(Dialogue::CLIENT_VERSION, &version)
    }
}

/// The file in which codex keeps the thread that it has opened: a host looks whether it changes.
fn keep_rollout(line: &str) -> anyhow::Result<()> {
    let message: Value = serde_json::from_str(line)?;
    let path = message.pointer("/result/thread/path");
    let Some(path) = path.and_then(Value::as_str).map(Path::new) else {
        return Ok(());
    };
    fs::create_dir_all(path.parent().context("a file in a folder")?)?;
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    Ok(())
}
