//! One of the two, and its programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// A folder of programs.
#[derive(Debug)]
pub struct Version {
    folder: PathBuf,
    /// What the programs that measure are pointed at: the same for both.
    name: String,
}

impl Version {
    pub fn in_folder(folder: &Path) -> Self {
        let name = folder.file_name().unwrap_or_default();
        Version {
            folder: folder.to_owned(),
            name: name.to_string_lossy().into_owned(),
        }
    }

    /// What the files of this version begin with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program of it, if it has that.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.folder.join(name);
        path.exists().then_some(path)
    }
}

/// Runs a program to its end. What it says goes to a file, and is told when it fails.
pub fn run(command: &mut Command, log: &Path) -> anyhow::Result<()> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(
        status.success(),
        "{command:?} ended with {status}:\n{}",
        fs::read_to_string(log)?
    );
    Ok(())
}

/// What a program has written.
pub fn read(path: &Path) -> anyhow::Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}
