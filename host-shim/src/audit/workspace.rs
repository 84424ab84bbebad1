//! What the component can know about folders and choose, and the files that the host keeps.

use serde::Serialize;

use crate::session::files::SESSION_FILE;

/// A file that the host keeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KeptFile {
    /// Its name, in the workspace unless it says otherwise.
    pub name: String,
    /// What it is for.
    pub meaning: String,
}

pub fn rules() -> Vec<String> {
    vec![
        "codex's working folder, named by the runtime".into(),
        "the component neither sees nor names it".into(),
    ]
}

pub fn files() -> Vec<KeptFile> {
    let kept = |name: &str, meaning: &str| KeptFile {
        name: name.to_owned(),
        meaning: meaning.to_owned(),
    };
    vec![
        kept(
            SESSION_FILE,
            "the thread id (.tmp while it is replaced, .bad when set aside)",
        ),
        kept(
            ".plexum-codex-session-<digest>",
            "the same, for each conversation that the runtime names",
        ),
        kept(
            "$XDG_STATE_HOME/plexum-openai-provider",
            "whose a thread is, its token totals, a digest of its instructions",
        ),
        kept(
            "a temporary folder",
            "images and output schema of the request; gone after the turn",
        ),
    ]
}
