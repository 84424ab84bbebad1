//! The programs that the sides are pointed at: a fake codex, and the real one with a model on the loopback
//! interface.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::arguments::Arguments;
use crate::sides::Side;

const FAKE_CODEX: &str = include_str!("../../fake-codex.c");

/// Which codex it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Fake,
    Real,
}

/// A codex to measure with.
#[derive(Debug)]
pub struct Codex {
    pub kind: Kind,
    pub program: PathBuf,
    /// Where its homes and workspaces are.
    pub folder: PathBuf,
    // Held for its drop, which ends it.
    _model: Option<Model>,
}

impl Codex {
    /// The `CODEX_HOME` of a side. Each has its own: none waits for another's locks or reads another's threads.
    pub fn home(&self, side: &Side) -> PathBuf {
        self.folder.join(format!("home-{}", side.name))
    }

    /// The configuration of this project's side.
    pub fn our_config(&self) -> PathBuf {
        self.folder.join("config.json")
    }
}

/// The fake codex, and the real one if there is one.
pub fn all(arguments: &Arguments, scratch: &Path, sides: &[Side]) -> anyhow::Result<Vec<Codex>> {
    let program = fake(arguments, scratch)?;
    let mut all = vec![new(Kind::Fake, program, scratch.join("fake"), None, sides)?];
    if let Some(program) = &arguments.real_codex {
        let model = arguments.mock_model.as_deref();
        let model = model.context("--real-codex needs --mock-model")?;
        let model = Model::start(model, &scratch.join("model"))?;
        let folder = scratch.join("real");
        all.push(new(
            Kind::Real,
            program.clone(),
            folder,
            Some(model),
            sides,
        )?);
    }
    Ok(all)
}

fn new(
    kind: Kind,
    program: PathBuf,
    folder: PathBuf,
    model: Option<Model>,
    sides: &[Side],
) -> anyhow::Result<Codex> {
    let config = model.as_ref().map(|model| model.config.clone());
    let codex = Codex {
        kind,
        program,
        folder,
        _model: model,
    };
    for side in sides {
        let home = codex.home(side);
        fs::create_dir_all(&home)?;
        if let Some(config) = &config {
            fs::copy(config, home.join("config.toml"))?;
        }
    }
    let config = serde_json::json!({ "binary": codex.program });
    fs::write(codex.our_config(), config.to_string())?;
    Ok(codex)
}

/// The program of the fake one. It is built the first time.
pub fn fake(arguments: &Arguments, scratch: &Path) -> anyhow::Result<PathBuf> {
    if let Some(program) = &arguments.fake_codex {
        return Ok(program.clone());
    }
    let (source, program) = (scratch.join("fake-codex.c"), scratch.join("fake-codex"));
    if program.exists() {
        return Ok(program);
    }
    fs::write(&source, FAKE_CODEX)?;
    let mut compiler = Command::new("cc");
    let status = compiler
        .args(["-O2", "-static", "-o"])
        .args([&program, &source])
        .status()
        .context("cannot run `cc`; build fake-codex.c otherwise and name it with --fake-codex")?;
    ensure!(status.success(), "`cc` could not build fake-codex.c");
    Ok(program)
}

/// A running mock-model.
#[derive(Debug)]
pub struct Model {
    process: Child,
    /// The configuration of a codex that talks to it and to nobody else.
    pub config: PathBuf,
}

impl Model {
    /// Starts it and waits until it listens. What it needs is put into `home`.
    pub fn start(program: &Path, home: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(program)
            .arg("--codex-home")
            .arg(home)
            // It ends when this does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = process.stdout.take().context("no pipe")?;
        let mut ready = String::new();
        BufReader::new(stdout).read_line(&mut ready)?;
        ensure!(
            ready.contains("base_url"),
            "{} did not start",
            program.display()
        );
        Ok(Model {
            process,
            config: home.join("config.toml"),
        })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It has nobody left to serve; how it ends does not matter.
        let _ = self.process.wait();
    }
}
