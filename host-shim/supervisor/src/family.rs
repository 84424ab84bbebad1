//! Everything that codex has started, directly or not.

use std::collections::HashSet;
use std::io;

use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::Mark;

/// The processes of one turn: the descendants of one process, and, for a process that is not their ancestor, all that carry a
/// mark.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The ancestor. It does not count among them.
    pub root: Option<Pid>,
    /// Their mark.
    pub mark: Option<Mark>,
}

/// How often members are looked for until all are halted. More than once, because one that was not seen may have
/// started another in the meantime; not forever, because new ones may keep appearing.
const MOST_LOOKS: usize = 100;

impl Family {
    /// Kills all members. First each one is halted, so that it cannot start new ones. Adds those found to `killed`.
    ///
    /// # Errors
    /// If they cannot be seen.
    pub fn kill(&self, killed: &mut HashSet<Pid>) -> io::Result<()> {
        let halted = self.halt()?;
        for pid in &halted {
            send(*pid, Signal::KILL);
        }
        killed.extend(halted);
        Ok(())
    }

    /// Stops all members, until a look finds no more: what is halted cannot start new ones. Returns them.
    ///
    /// # Errors
    /// If they cannot be seen.
    pub fn halt(&self) -> io::Result<HashSet<Pid>> {
        let mut halted = HashSet::new();
        for _ in 0..MOST_LOOKS {
            let found = self.members()?;
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
        Ok(halted)
    }

    /// Has those of these go on that are still members.
    ///
    /// # Errors
    /// If they cannot be seen.
    pub fn go_on(&self, halted: &HashSet<Pid>) -> io::Result<()> {
        for pid in self.members()? {
            if halted.contains(&pid) {
                send(pid, Signal::CONT);
            }
        }
        Ok(())
    }

    /// The members that have not ended. This process is never one of them.
    ///
    /// # Errors
    /// If `/proc` is missing, or shows other processes than those that this one can send a signal to.
    pub fn members(&self) -> io::Result<Vec<Pid>> {
        let own = getpid();
        if !is_proc_of(own) {
            return Err(io::Error::other(
                "/proc does not show the processes that this one sees",
            ));
        }
        let mut parents: Vec<(Pid, Pid)> = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let entry = entry?;
            if let Some(pid) = pid_of(entry.file_name().to_str())
                // A process may end between the two.
                && let Some(stat) = Stat::read(pid)
                && !stat.has_ended()
            {
                parents.push((pid, stat.parent));
            }
        }
        let mut family: HashSet<Pid> = self.root.into_iter().collect();
        if let Some(mark) = self.mark {
            let all = parents.iter().map(|(pid, _)| *pid);
            family.extend(all.filter(|pid| mark.is_on(*pid)));
        }
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
        if let Some(root) = &self.root {
            family.remove(root);
        }
        Ok(family.into_iter().collect())
    }
}

/// Whether `/proc` has the numbers of processes that this process, `own`, has for them. That of another pid namespace
/// has others: a signal would go to processes that have nothing to do with this one.
fn is_proc_of(own: Pid) -> bool {
    let shown = std::fs::read_link("/proc/self");
    shown.is_ok_and(|shown| pid_of(shown.to_str()) == Some(own))
}

/// The process may have ended meanwhile, or be another user's; waiting shows whether all are gone. The number was a
/// member's a moment ago, and the kernel hands a number out again only after all others.
fn send(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// What a line of `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// A letter for what the process does.
    state: char,
    /// Its parent.
    parent: Pid,
    /// Its session; 0 for one that was begun outside this pid namespace.
    session: u32,
}

impl Stat {
    /// That of this process, if it is shown.
    fn read(pid: Pid) -> Option<Self> {
        let line = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        Self::of(&line.ok()?)
    }

    /// What the line says, if it is one.
    fn of(line: &str) -> Option<Self> {
        // The name is in parentheses and may hold anything, even parentheses.
        let (_, rest) = line.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = pid_of(fields.next())?;
        // Between them is its process group.
        let session = fields.nth(1)?.parse().ok()?;
        Some(Stat {
            state,
            parent,
            session,
        })
    }

    /// Whether it has ended, and only not been waited for.
    fn has_ended(self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Whether this process is in the same session as its parent, and so under a shell that can have it go on after it was
/// suspended. Unknown is no. Not by `getsid(2)`: in a pid namespace (a container) the session may be one of outside,
/// which is 0, and rustix has no such process.
#[must_use]
pub fn is_in_session_of_parent(pid: Pid) -> bool {
    let stat = Stat::read(pid);
    let parent = stat.and_then(|stat| Stat::read(stat.parent));
    matches!((stat, parent), (Some(stat), Some(parent)) if stat.session == parent.session)
}

/// Whether this process stands still because it was stopped, or because another one traces it. Unknown is no.
#[must_use]
pub fn is_held(pid: Pid) -> bool {
    Stat::read(pid).is_some_and(|stat| matches!(stat.state, 'T' | 't'))
}

/// The process id in a word of `/proc`; `None` for 0, which means a parent outside.
fn pid_of(word: Option<&str>) -> Option<Pid> {
    let number = word?.parse().ok().filter(|number| *number > 0)?;
    Pid::from_raw(number)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_name_of_a_process_cannot_hide_its_parent() {
        for (line, parent) in [
            ("12 (codex) S 7 12 12 0 -1", Some(7)),
            ("12 (a) S 1 (b)) R 7 12 12 0 -1", Some(7)),
            ("12 ()) D 7 12 0", Some(7)),
            ("12 (two words) T 7 12 12", Some(7)),
            ("12 (codex) Z 7 12", None),
            ("12 (codex) X 7 12", None),
            ("12 (codex) S", None),
            ("12 (codex) S 7 12", None),
            ("12 (codex) S x", None),
            ("1 (init) S 0 1 1 0 -1", None),
            ("", None),
        ] {
            let living = Stat::of(line).filter(|stat| !stat.has_ended());
            assert_eq!(
                living.map(|stat| stat.parent),
                parent.and_then(Pid::from_raw),
                "{line}"
            );
        }
    }

    #[test]
    fn what_has_left_its_parent_is_found_by_its_mark_with_what_it_started() {
        let mark = Mark::new(u64::from(std::process::id()));
        let mut command = Command::new("sh");
        // The outer shell is killed. The inner one is left, and what it has started has taken off the mark.
        let inner = "prlimit --rttime=unlimited sleep 3600 & echo; wait";
        command
            .args(["-c", &format!("setsid sh -c '{inner}' & read line")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // SAFETY: two system calls, which allocate nothing.
        unsafe { command.pre_exec(move || Ok(mark.put_on()?)) };
        let mut shell = command.spawn().unwrap();
        let mut line = [0];
        std::io::Read::read_exact(&mut shell.stdout.take().unwrap(), &mut line).unwrap();
        shell.kill().unwrap();
        assert_eq!(shell.wait().unwrap().signal(), Some(9));
        let family = Family {
            root: None,
            mark: Some(mark),
        };
        assert_eq!(family.members().unwrap().len(), 2);
        let mut killed = HashSet::new();
        while !family.members().unwrap().is_empty() {
            family.kill(&mut killed).unwrap();
        }
        assert_eq!(killed.len(), 2);
    }

    #[test]
    fn one_with_a_session_of_its_own_is_not_in_that_of_its_parent() {
        for own in [false, true] {
            let mut command = Command::new("sleep");
            command.arg("3600");
            if own {
                // SAFETY: a system call, which allocates nothing.
                unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) };
            }
            let mut sleep = command.spawn().unwrap();
            assert_eq!(is_in_session_of_parent(Pid::from_child(&sleep)), !own);
            sleep.kill().unwrap();
            sleep.wait().unwrap();
            assert!(!is_in_session_of_parent(Pid::from_child(&sleep)));
        }
    }

    #[test]
    fn what_is_stopped_is_held() {
        let mut sleep = Command::new("sleep").arg("3600").spawn().unwrap();
        let pid = Pid::from_child(&sleep);
        assert!(!is_held(pid));
        send(pid, Signal::STOP);
        while !is_held(pid) {}
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        assert!(!is_held(pid));
    }
}
