//! The file in which codex keeps a thread.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Bytes that are not UTF-8, and so not a rollout.
pub(crate) const GARBAGE: &[u8] = b"\xff\xfe\xfd\xfc\n";

/// Replaces the content of a thread's rollout.
pub(crate) fn overwrite(codex_home: &Path, thread: &str, content: &[u8]) -> anyhow::Result<()> {
    let path = find(&codex_home.join("sessions"), thread)?
        .with_context(|| format!("codex keeps no rollout of thread {thread}"))?;
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// The file below `folder` whose name holds the thread's id: they are sorted into folders by date.
fn find(folder: &Path, thread: &str) -> anyhow::Result<Option<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, thread)? {
                return Ok(Some(found));
            }
        } else if path.to_string_lossy().contains(thread) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
