//! What `fake-codex app-server` is to answer, method by method.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::script::Step;

/// The script's name in the workspace.
pub const SERVER_SCRIPT_FILE: &str = ".fake-codex-server.json";

/// What a server does when it is asked for a method. For a method that is not in here it does what the real one does, with
/// the answer `echo: <prompt>`. It is read for each request, so that a test can put another one in its place between two
/// turns.
///
/// In the lines of [`Step::Emit`] and [`Step::Repeat`] these words are replaced: `$ID` by the request's id, `$THREAD` and
/// `$TURN` by the ids of thread and turn, `$CWD` by the working folder, and `$RESULT` by what the real one would answer to
/// a request that opens a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerScript {
    /// The steps for each method.
    pub answers: BTreeMap<String, Vec<Step>>,
}

impl ServerScript {
    /// One in which this method is answered by these steps.
    #[must_use]
    pub fn answer(mut self, method: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        self.answers
            .insert(method.to_owned(), steps.into_iter().collect());
        self
    }

    /// Puts the script into a workspace, in the place of an earlier one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_to(&self, workspace: &Path) -> anyhow::Result<()> {
        let path = workspace.join(SERVER_SCRIPT_FILE);
        let text = serde_json::to_string_pretty(self)?;
        // Never half of it: a server may read it at any time.
        let new = path.with_extension("new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// The script of a workspace; an empty one when there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read, or that holds a step of no known kind.
    pub fn read_from(workspace: &Path) -> anyhow::Result<Self> {
        let path = workspace.join(SERVER_SCRIPT_FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_str(&text).with_context(|| format!("{} is no script", path.display()))
    }
}
