//! What is there of a run: processes, descriptors, files, memory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What this process holds at a moment.
#[derive(Debug, Clone)]
pub struct Census {
    /// Open descriptors, each with what it is open to.
    pub descriptors: Vec<String>,
    /// Resident memory in KiB.
    pub resident_kib: u64,
}

impl Census {
    /// Counts now.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn take() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("/proc/self/status has VmRSS")?;
        Ok(Census {
            descriptors: descriptors()?,
            resident_kib: resident.trim().trim_end_matches(" kB").parse()?,
        })
    }
}

fn descriptors() -> Result<Vec<String>> {
    let entries = fs::read_dir("/proc/self/fd")?;
    // The one that this reads through is closed by then.
    let links = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let target = fs::read_link(&path).ok()?;
        Some(format!(
            "{} {}",
            path.file_name()?.display(),
            target.display()
        ))
    });
    Ok(links.collect())
}

/// The processes that work in a folder below `root`: codex and whatever it started, wherever that has gone. One that has
/// ended has no folder.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes_below(root: &Path) -> Result<Vec<(i32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // It may end between the two.
        if let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd"))
            && folder.starts_with(root)
        {
            found.push((pid, folder));
        }
    }
    Ok(found)
}

/// Temporary files that were left in a workspace.
///
/// # Errors
/// When it cannot be read.
pub fn leftovers(workspace: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(workspace)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            found.push(path);
        }
    }
    Ok(found)
}
