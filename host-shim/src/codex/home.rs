//! Codex's own folder.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Where a codex with this environment keeps its login, its settings and its records. A relative path is one from the
/// workspace, where it is started.
pub fn codex_home(environment: &[(OsString, OsString)], workspace: &Path) -> Option<PathBuf> {
    let value = |name: &str| {
        let found = environment.iter().find(|(key, _)| key == OsStr::new(name));
        // Codex takes an empty one for none.
        let value = found
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty());
        value.map(|value| workspace.join(value))
    };
    value("CODEX_HOME").or_else(|| Some(value("HOME")?.join(".codex")))
}
