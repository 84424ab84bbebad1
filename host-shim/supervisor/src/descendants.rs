//! Everything that codex has started, directly or not.

use std::collections::HashSet;
use std::io;

use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

/// Makes this process the parent of every descendant whose own parent ends.
pub fn adopt() -> io::Result<()> {
    // `Some` of any process id switches it on.
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// How often descendants are looked for before they are killed. More than once, because one that was not seen may have
/// started another in the meantime; not forever, because new ones may keep appearing.
const MOST_LOOKS: usize = 100;

/// Kills all descendants. First each one is halted, until a look finds no more: what is halted cannot
/// start new ones. Adds those found to `killed`.
pub fn kill(killed: &mut HashSet<Pid>) -> io::Result<()> {
    let mut halted = HashSet::new();
    for _ in 0..MOST_LOOKS {
        let found = all()?;
        let fresh: Vec<_> = found
            .into_iter()
            .filter(|pid| !halted.contains(pid))
            .collect();
        if fresh.is_empty() {
            break;
        }
        for pid in fresh {
            send(pid, Signal::STOP);
            halted.insert(pid);
        }
    }
    for pid in &halted {
        send(*pid, Signal::KILL);
    }
    killed.extend(halted);
    Ok(())
}

/// The process may have ended meanwhile, or be another user's; waiting shows whether all are gone. The number was a
/// descendant's a moment ago, and the kernel hands a number out again only after all others.
fn send(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// The descendants of this process that have not ended.
pub fn all() -> io::Result<Vec<Pid>> {
    let mut parents: Vec<(Pid, Pid)> = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        if let Some(pid) = pid_of(entry.file_name().to_str())
            // A process may end between the two.
            && let Ok(stat) = std::fs::read_to_string(entry.path().join("stat"))
            && let Some(parent) = parent_of_living(&stat)
        {
            parents.push((pid, parent));
        }
    }
    let own = getpid();
    let mut family = HashSet::from([own]);
    // Numbers wrap around, so that a child may have a smaller one than its parent.
    loop {
        let known = family.len();
        family.extend(
            parents
                .iter()
                .filter(|(_, parent)| family.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == known {
            break;
        }
    }
    family.remove(&own);
    Ok(family.into_iter().collect())
}

/// The parent in a line of `/proc/PID/stat`; nothing for a process that has ended and not been waited for.
fn parent_of_living(stat: &str) -> Option<Pid> {
    // The name is in parentheses and may hold anything, even parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = pid_of(fields.next())?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

/// The process id in a word of `/proc`; `None` for 0, which means a parent outside.
fn pid_of(word: Option<&str>) -> Option<Pid> {
    let number = word?.parse().ok().filter(|number| *number > 0)?;
    Pid::from_raw(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_cannot_hide_its_parent() {
        for (stat, parent) in [
            ("12 (codex) S 7 12 12 0 -1", Some(7)),
            ("12 (a) S 1 (b)) R 7 12 12 0 -1", Some(7)),
            ("12 ()) D 7 12", Some(7)),
            ("12 (two words) T 7 12", Some(7)),
            ("12 (codex) Z 7 12", None),
            ("12 (codex) X 7 12", None),
            ("12 (codex) S", None),
            ("12 (codex) S x", None),
            ("1 (init) S 0 1 1 0 -1", None),
            ("", None),
        ] {
            assert_eq!(
                parent_of_living(stat),
                parent.and_then(Pid::from_raw),
                "{stat}"
            );
        }
    }
}
