//! An agent with a real codex: a model of its own, a private `CODEX_HOME`, and a workspace.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::codex_home::CodexHome;
use crate::mock_model::{MockModel, Options};
use crate::real_codex::RealCodex;
use crate::workspace::{Said, Workspace};

/// A real codex and everything it needs.
pub struct Agent {
    /// The codex.
    pub codex: RealCodex,
    /// What it talks to.
    pub model: MockModel,
    /// Its home.
    pub home: CodexHome,
    /// Where it works.
    pub workspace: Workspace,
}

impl Agent {
    /// One with a fresh home and an empty workspace.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(codex: &RealCodex) -> Result<Self> {
        let model = MockModel::start_with(Options::default())?;
        let home = CodexHome::new(&model.base_url())?;
        Ok(Agent {
            codex: codex.clone(),
            model,
            home,
            workspace: Workspace::new(&codex.path)?,
        })
    }

    /// Configures `binary` and these keys besides.
    ///
    /// # Errors
    /// When `keys` is no object or the configuration cannot be written.
    pub fn configure(&self, keys: &Value) -> Result<()> {
        let mut config = json!({ "binary": self.codex.path });
        let all = config
            .as_object_mut()
            .context("the configuration is an object")?;
        all.extend(keys.as_object().context("the keys are an object")?.clone());
        self.workspace.configure(&config)
    }

    /// A `say --json`, to be completed.
    #[must_use]
    pub fn say<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut say = self.workspace.say(["--json"]);
        say.args(args)
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path());
        say
    }

    /// A whole turn.
    ///
    /// # Errors
    /// When the program cannot be run or prints something else than events.
    pub fn turn(&self, prompt: &str) -> Result<Said> {
        self.workspace.turn(Some(&self.home), prompt)
    }

    /// A program that is this codex with this home: one that a provider in this process starts has this process's
    /// environment.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn program_with_home(&self) -> Result<PathBuf> {
        self.program("")
    }

    /// The same, with the program `tap` writing down in `file` what codex and its host say to each other.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tapped_program(&self, tap: &Path, file: &Path) -> Result<PathBuf> {
        self.program(&format!("'{}' '{}' ", tap.display(), file.display()))
    }

    fn program(&self, through: &str) -> Result<PathBuf> {
        program_with_home(&self.workspace, &self.home, &self.codex.path, through)
    }
}

/// A program beside the workspace that is this codex with this home, started by another one where `through` names it.
///
/// # Errors
/// When it cannot be written.
pub fn program_with_home(
    workspace: &Workspace,
    home: &CodexHome,
    codex: &Path,
    through: &str,
) -> Result<PathBuf> {
    let program = workspace.outside("codex");
    let script = format!(
        "#!/bin/sh\nCODEX_HOME='{0}' HOME='{0}' exec {through}'{1}' \"$@\"\n",
        home.path().display(),
        codex.display()
    );
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    Ok(program)
}
