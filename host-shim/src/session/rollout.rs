//! Codex's own record of a thread, the rollout: a file that grows whenever anybody goes on with the thread.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::contract::thread_id::is_uuid;

/// A rollout at some moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Where it is, from codex's home.
    pub path: String,
    /// How long it was.
    pub bytes: u64,
}

impl Rollout {
    /// The rollout of this thread, as it is now; where it was is `known` from before. `None` if there is none where codex
    /// keeps them.
    pub fn now(codex_home: &Path, thread_id: &str, known: Option<&Self>) -> Option<Self> {
        let path = match known {
            Some(known) => known.path.clone(),
            None => find(codex_home, thread_id)?,
        };
        let metadata = codex_home.join(&path).metadata().ok()?;
        metadata.is_file().then_some(Rollout {
            path,
            bytes: metadata.len(),
        })
    }
}

/// Looks for `sessions/YYYY/MM/DD/rollout-TIME-ID.jsonl`, the latest day first.
fn find(codex_home: &Path, thread_id: &str) -> Option<String> {
    if !is_uuid(thread_id) {
        return None;
    }
    let ending = format!("-{}.jsonl", thread_id.to_ascii_lowercase());
    find_below(codex_home, "sessions", 3, &|name| {
        name.starts_with("rollout-") && name.ends_with(&ending)
    })
}

/// The first file so many folders below this one whose name is wanted; folders by name, the last first.
fn find_below(
    home: &Path,
    folder: &str,
    depth: u8,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let entries = home.join(folder).read_dir().ok()?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let Some(depth) = depth.checked_sub(1) else {
        let name = names.find(|name| is_wanted(name))?;
        return Some(format!("{folder}/{name}"));
    };
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let mut folders = names.iter().rev().map(|name| format!("{folder}/{name}"));
    folders.find_map(|folder| find_below(home, &folder, depth, is_wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_found_by_its_thread_and_seen_to_grow() {
        const ID: &str = "01a215f0-83f3-7a93-a4bf-ac302d6a3744";
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Rollout::now(home.path(), ID, None), None);
        for day in ["2026/11/26", "2025/12/31", "2027/01/01"] {
            let folder = home.path().join("sessions").join(day);
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join(format!("rollout-2026-11-26T03-40-13-{ID}.jsonl"));
            std::fs::write(&file, "one").unwrap();
            std::fs::write(folder.join("rollout-2026-11-26T03-40-13-other.jsonl"), "").unwrap();
            let found = Rollout::now(home.path(), ID, None).unwrap();
            assert_eq!(found.bytes, 3);
            assert_eq!(home.path().join(&found.path), file);
            std::fs::write(&file, "one two").unwrap();
            let grown = Rollout::now(home.path(), ID, Some(&found)).unwrap();
            assert_eq!((grown.path == found.path, grown.bytes), (true, 7));
            std::fs::remove_file(&file).unwrap();
            assert_eq!(Rollout::now(home.path(), ID, Some(&found)), None);
        }
    }

    #[test]
    fn what_is_no_thread_id_has_none() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("sessions/2026/11/26");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("rollout-2026-x.jsonl"), "").unwrap();
        assert_eq!(Rollout::now(home.path(), "x", None), None);
    }
}
