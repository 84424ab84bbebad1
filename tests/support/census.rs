//! What is there of a run: processes, descriptors, files, memory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::wait::pids;

/// How much more memory than at an earlier moment there may be.
const GROWTH: f64 = 1.2;

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
        Ok(Census {
            descriptors: descriptors()?,
            resident_kib: kib("/proc/self/status", "VmRSS:")?,
        })
    }

    /// Refuses more than 1.2 times the memory of an earlier moment.
    ///
    /// # Errors
    /// When there is more.
    pub fn check_memory(&self, earlier: &Self) -> Result<()> {
        #[allow(
            clippy::cast_precision_loss,
            reason = "sizes of memory are far from 2^53 KiB"
        )]
        let growth = self.resident_kib as f64 / earlier.resident_kib as f64;
        ensure!(growth <= GROWTH, "memory has grown {growth:.2} times");
        Ok(())
    }
}

/// The figure that begins with this key in a file of `/proc` about memory, in KiB.
///
/// # Errors
/// When the file cannot be read, or has no such figure.
pub fn kib(file: &str, key: &str) -> Result<u64> {
    let text = fs::read_to_string(file)?;
    let figure = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .with_context(|| format!("{file} has {key}"))?;
    Ok(figure.trim().trim_end_matches(" kB").parse()?)
}

/// The process that started this one.
///
/// # Errors
/// When there is no such process.
pub fn parent_of(pid: i32) -> Result<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("a stat line")?;
    Ok(rest.split(' ').nth(1).context("a parent")?.parse()?)
}

/// The processes that this one has started and not reaped yet.
#[must_use]
pub fn own_children() -> Vec<i32> {
    let own = std::process::id().cast_signed();
    // It may end before its parent is read.
    let is_own = |pid: &i32| parent_of(*pid).is_ok_and(|parent| parent == own);
    pids().filter(is_own).collect()
}

/// The processes that this one has started, and those that they have started, and so on.
#[must_use]
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut parents = Vec::new();
    // One may end before its parent is read.
    parents.extend(pids().filter_map(|pid| Some((pid, parent_of(pid).ok()?))));
    let mut found = vec![pid];
    let mut looked = 0;
    while let Some(parent) = found.get(looked).copied() {
        let children = parents.iter().filter(|(_, above)| *above == parent);
        found.extend(children.map(|(pid, _)| *pid));
        looked += 1;
    }
    found.remove(0);
    found
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
#[must_use]
pub fn processes_below(root: &Path) -> Vec<(i32, PathBuf)> {
    // It may end before its link is read.
    let folder = |pid: i32| Some((pid, fs::read_link(format!("/proc/{pid}/cwd")).ok()?));
    pids()
        .filter_map(folder)
        .filter(|(_, folder)| folder.starts_with(root))
        .collect()
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
