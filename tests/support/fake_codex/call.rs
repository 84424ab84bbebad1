//! What `fake-codex` records about each call.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The record's name in the workspace: one [`Call`] a line.
pub const CALLS_FILE: &str = ".fake-codex-calls.jsonl";

/// The name of the list of children left behind: one process id a line.
pub const CHILDREN_FILE: &str = ".fake-codex-children";

/// The record of what `fake-codex app-server` was told in the workspace: one message a line, as it came.
pub const MESSAGES_FILE: &str = ".fake-codex-messages.jsonl";

/// One start of `fake-codex exec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The arguments, without the program's name. Bytes that are not UTF-8 are replaced.
    pub argv: Vec<String>,
    /// What standard input was.
    pub stdin: Stdin,
    /// What standard input held. It is read only when the last argument is `-`; None when it was
    /// not, or when it was empty.
    pub stdin_text: Option<String>,
    /// The names of the environment variables, sorted.
    pub env: Vec<String>,
    /// The process id.
    pub pid: i32,
    /// The process group's id.
    pub pgid: i32,
    /// The working directory.
    pub cwd: PathBuf,
}

/// What a standard input was at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// A pipe or a socket.
    Pipe,
    /// A regular file.
    File,
    /// A terminal.
    Terminal,
    /// The descriptor was not open.
    Closed,
    /// Something else.
    Other,
}

/// The calls in a workspace, in the order in which they began.
///
/// # Errors
/// When the record is there and cannot be read.
pub fn calls(workspace: &Path) -> anyhow::Result<Vec<Call>> {
    let text = read_or_empty(&workspace.join(CALLS_FILE))?;
    text.lines()
        .map(|line| serde_json::from_str(line).context("cannot read the record of a call"))
        .collect()
}

/// What `fake-codex app-server` was told in a workspace, in that order.
///
/// # Errors
/// When the record is there and cannot be read.
pub fn messages(workspace: &Path) -> anyhow::Result<Vec<serde_json::Value>> {
    let text = read_or_empty(&workspace.join(MESSAGES_FILE))?;
    text.lines()
        .map(|line| serde_json::from_str(line).context("cannot read the record of a message"))
        .collect()
}

/// The process ids of the children that calls in a workspace left behind, dead or alive.
///
/// # Errors
/// When the list is there and cannot be read.
pub fn children(workspace: &Path) -> anyhow::Result<Vec<i32>> {
    let text = read_or_empty(&workspace.join(CHILDREN_FILE))?;
    text.lines()
        .map(|line| line.parse().context("cannot read a process id"))
        .collect()
}

fn read_or_empty(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("cannot read {}", path.display())),
    }
}
