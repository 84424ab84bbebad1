//! What the component can know about folders and choose, and the files that the host keeps.

use serde::Serialize;

use crate::session::files::{LOCK_FILE, SESSION_FILE, USAGE_FILE};

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
        "named by the runtime, codex's working folder".into(),
        "the component does not see it and cannot name another".into(),
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
            USAGE_FILE,
            "the thread's token totals (.tmp while it is replaced)",
        ),
        kept(LOCK_FILE, "locked during a turn; always empty"),
        kept(
            "a temporary folder",
            "images of the request, for this user only; gone after the turn",
        ),
    ]
}
