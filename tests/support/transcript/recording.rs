//! One recorded run: its files, and a workspace in which a fake codex plays it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use plexum_openai_provider::SESSION_FILE;
use tempfile::TempDir;

use super::Exit;
use crate::fake_codex::{Script, Step};

/// A folder below `tests/transcripts/<version>/`.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The folder.
    pub folder: PathBuf,
}

/// Every recorded run, in order of version and name.
///
/// # Errors
/// When a folder cannot be listed.
pub fn recordings() -> Result<Vec<Recording>> {
    let mut all = Vec::new();
    for version in folders(&super::folder())? {
        all.extend(
            folders(&version)?
                .into_iter()
                .map(|folder| Recording { folder }),
        );
    }
    Ok(all)
}

impl Recording {
    /// `<version>/<case>`.
    #[must_use]
    pub fn name(&self) -> String {
        let folder = self.folder.strip_prefix(super::folder());
        folder.unwrap_or(&self.folder).display().to_string()
    }

    /// A workspace whose session is that of the recorded run, and in which codex behaves as in it. What is known of its
    /// thread goes into `state`, the folder of the state.
    ///
    /// # Errors
    /// When a file is missing or cannot be copied.
    pub fn workspace(&self, state: &Path) -> Result<TempDir> {
        let workspace = tempfile::tempdir()?;
        if self.folder.join("session.txt").exists() {
            let thread_id = self.read("session.txt")?;
            let thread_id = thread_id.trim_end();
            fs::write(workspace.path().join(SESSION_FILE), thread_id)?;
            let threads = state.join("threads");
            fs::create_dir_all(&threads)?;
            for folder in ["workspaces", "locks"] {
                fs::create_dir_all(state.join(folder))?;
            }
            // Another run may have had a thread of the same id.
            let known = if self.folder.join("usage.json").exists() {
                self.read("usage.json")?
            } else {
                "{}".to_owned()
            };
            fs::write(threads.join(format!("{thread_id}.json")), known)?;
        }
        let end = match self.read("exit.txt")?.parse()? {
            Exit::Code(code) => Step::Exit { code },
            Exit::Signal(signal) => Step::KillSelf { signal },
        };
        let steps = [
            Step::EmitFile {
                path: self.folder.join("stdout.jsonl"),
                own_thread: false,
            },
            Step::Stderr {
                text: self.read("stderr.txt")?,
            },
            end,
        ];
        Script::new().call(steps).write_to(workspace.path())?;
        Ok(workspace)
    }

    /// Where the events are written down that the run has to become.
    #[must_use]
    pub fn events_file(&self) -> PathBuf {
        self.folder.join("events.jsonl")
    }

    /// Those events, one a line; nothing when none were written down yet.
    ///
    /// # Errors
    /// When they are there and cannot be read.
    pub fn events(&self) -> Result<String> {
        if self.events_file().exists() {
            self.read("events.jsonl")
        } else {
            Ok(String::new())
        }
    }

    /// The text of one of its files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(parent).with_context(|| format!("cannot list {}", parent.display()))?;
    let mut found = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}
