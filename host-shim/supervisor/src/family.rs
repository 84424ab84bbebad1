//! Everything that codex has started, directly or not.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;

use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
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
        let living = living()?;
        let mut family: HashSet<Pid> = self.root.into_iter().collect();
        if let Some(mark) = self.mark {
            let all = living.iter().map(|(pid, _)| *pid);
            family.extend(all.filter(|pid| mark.is_on(*pid)));
        }
        add_descendants(&mut family, &living);
        family.remove(&getpid());
        if let Some(root) = &self.root {
            family.remove(root);
        }
        Ok(family.into_iter().collect())
    }
}

/// What a turn of a codex that stays has left behind, seen from its supervisor: the children of codex that have a session
/// of their own, as tools have and codex's own helpers and MCP servers have not; what has lost its parent; and all that
/// these have started. Not those in `spared`, which were there when the turn began. If codex is a script that has started the
/// program, the children of the program count. What has lost its parent is a child of this process, or, with `orphans`, is
/// not below it and carries this mark.
///
/// # Errors
/// As for [`Family::members`].
pub fn left_by_turn(
    codex: Pid,
    orphans: Option<Mark>,
    spared: &HashSet<Pid>,
) -> io::Result<Vec<Pid>> {
    if orphans.is_none() && is_clean(codex, spared) {
        return Ok(Vec::new());
    }
    let (own, living) = (getpid(), living()?);
    let mut codexes = HashSet::from([codex]);
    loop {
        let known = codexes.len();
        let below = living.iter().filter(|(pid, stat)| {
            codexes.contains(&stat.parent) && !stat.leads_session(*pid) && runs_codex(*pid)
        });
        let below: Vec<_> = below.map(|(pid, _)| *pid).collect();
        codexes.extend(below);
        if codexes.len() == known {
            break;
        }
    }
    let is_tool = |pid: Pid, stat: &Stat| match stat.parent {
        parent if parent == own => pid != codex,
        parent if codexes.contains(&parent) => stat.leads_session(pid),
        _ => false,
    };
    let tools = living.iter().filter(|(pid, stat)| is_tool(*pid, stat));
    let mut left: HashSet<Pid> = tools.map(|(pid, _)| *pid).collect();
    if let Some(mark) = orphans {
        let mut below = HashSet::from([own]);
        add_descendants(&mut below, &living);
        let all = living.iter().map(|(pid, _)| *pid);
        left.extend(all.filter(|pid| !below.contains(pid) && mark.is_on(*pid)));
    }
    left.retain(|pid| !spared.contains(pid));
    add_descendants(&mut left, &living);
    Ok(left.into_iter().collect())
}

/// Whether a turn has certainly left nothing behind. This is what most turns do, and it takes a tenth of the time of a look
/// at all processes. The kernel's list of children may leave one out when another one ends meanwhile, so it counts only if
/// two looks see the same. Not certain where there is no such list.
fn is_clean(codex: Pid, spared: &HashSet<Pid>) -> bool {
    let own = getpid();
    let look = || -> io::Result<Vec<(Pid, Pid)>> {
        let mut all = Vec::new();
        for parent in [own, codex] {
            all.extend(children(parent)?.into_iter().map(|pid| (parent, pid)));
        }
        Ok(all)
    };
    let is_harmless = |(parent, pid): &(Pid, Pid)| {
        *pid == codex
            || spared.contains(pid)
            || match Stat::read(*pid) {
                Some(stat) if !stat.has_ended() => {
                    *parent == codex && !stat.leads_session(*pid) && !runs_codex(*pid)
                }
                _ => true,
            }
    };
    match (look(), look()) {
        (Ok(first), Ok(second)) => {
            first == second && first.iter().all(is_harmless) && is_proc_of(own)
        }
        _ => false,
    }
}

/// The children of all threads of a process. A codex has thirty threads, and all of its turns wait for this, so it is done
/// with as few calls of the system as there can be.
fn children(pid: Pid) -> io::Result<Vec<Pid>> {
    let read = OFlags::RDONLY | OFlags::CLOEXEC;
    let threads = format!("/proc/{}/task", pid.as_raw_nonzero());
    let threads = rustix::fs::open(threads, read | OFlags::DIRECTORY, Mode::empty())?;
    let mut names = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&threads, &mut names);
    let mut children = Vec::new();
    let mut listed = [0; 4096];
    while let Some(entry) = entries.next() {
        let Ok(thread) = entry?.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        if pid_of(Some(&thread)).is_none() {
            continue;
        }
        let list = format!("{thread}/children");
        let list = rustix::fs::openat(&threads, list, read, Mode::empty())?;
        let length = rustix::io::read(&list, &mut listed)?;
        // As much as there is comes at once. If it fills the room there may be more, of which half a number may be seen.
        let listed = listed.get(..length).filter(|_| length < listed.len());
        let listed = listed.ok_or(Errno::NOBUFS)?;
        let listed = std::str::from_utf8(listed).map_err(io::Error::other)?;
        let pids = listed.split_ascii_whitespace();
        children.extend(pids.filter_map(|word| pid_of(Some(word))));
    }
    Ok(children)
}

/// Whether this process runs a codex that stays, perhaps below a script that does. Unknown is no.
#[must_use]
pub fn runs_codex(pid: Pid) -> bool {
    let words = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    let words = words.unwrap_or_default();
    let mut words = words.split(|byte| *byte == 0);
    // A prompt may be any word, but not of a codex that stays.
    words.find(|word| [&b"app-server"[..], b"exec"].contains(word)) == Some(b"app-server")
}

/// Stops and kills these.
pub fn kill_all(pids: &[Pid]) {
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in pids {
            send(*pid, signal);
        }
    }
}

/// All processes that have not ended.
fn living() -> io::Result<Vec<(Pid, Stat)>> {
    if !is_proc_of(getpid()) {
        return Err(io::Error::other(
            "/proc does not show the processes that this one sees",
        ));
    }
    let mut living = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        if let Some(pid) = pid_of(entry.file_name().to_str())
            // A process may end between the two.
            && let Some(stat) = Stat::read(pid)
            && !stat.has_ended()
        {
            living.push((pid, stat));
        }
    }
    Ok(living)
}

/// Adds what the members have started, and what that has.
fn add_descendants(family: &mut HashSet<Pid>, living: &[(Pid, Stat)]) {
    // Numbers wrap around, so that a child may have a smaller one than its parent.
    loop {
        let known = family.len();
        let children = living
            .iter()
            .filter(|(_, stat)| family.contains(&stat.parent));
        let children: Vec<_> = children.map(|(pid, _)| *pid).collect();
        family.extend(children);
        if family.len() == known {
            break;
        }
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
    /// When it was started, in ticks since the machine was.
    started: u64,
}

impl Stat {
    /// That of this process, if it is shown.
    #[must_use]
    pub fn read(pid: Pid) -> Option<Self> {
        // Longer than any; in one piece, because there may be many to read.
        let mut line = [0; 1024];
        let mut file = File::open(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        let length = file.read(&mut line).ok()?;
        // The name need not be UTF-8.
        Self::of(&String::from_utf8_lossy(line.get(..length)?))
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
        let started = fields.nth(15)?.parse().ok()?;
        Some(Stat {
            state,
            parent,
            session,
            started,
        })
    }

    /// Its parent.
    #[must_use]
    pub fn parent(self) -> Pid {
        self.parent
    }

    /// When it was started, in ticks since the machine was.
    #[must_use]
    pub fn started(self) -> u64 {
        self.started
    }

    /// Whether it leads a session of its own.
    fn leads_session(self, pid: Pid) -> bool {
        i64::from(self.session) == i64::from(pid.as_raw_nonzero().get())
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
            ("12 (codex) S 7 12 12", Some(7)),
            ("12 (a) S 1 (b)) R 7 12 12", Some(7)),
            ("12 ()) D 7 12 0", Some(7)),
            ("12 (two words) T 7 12 12", Some(7)),
            ("12 (codex) Z 7 12", None),
            ("12 (codex) X 7 12", None),
            ("12 (codex) S", None),
            ("12 (codex) S x", None),
            ("1 (init) S 0 1 1", None),
            ("", None),
        ] {
            let line = format!("{line} 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 3456 99");
            let living = Stat::of(&line).filter(|stat| !stat.has_ended());
            assert_eq!(
                living.map(|stat| stat.parent),
                parent.and_then(Pid::from_raw),
                "{line}"
            );
            assert_eq!(living.map(Stat::started), parent.map(|_| 3456), "{line}");
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

    /// What a shell that stands for codex leaves behind, by what these commands are to sleep for.
    fn left_by(codex: &str) -> Vec<String> {
        let mut codex = Command::new("sh")
            .args(["-c", &format!("{codex} echo; wait"), "sh", "app-server"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        codex.stdout.take().unwrap().read_exact(&mut line).unwrap();
        let pid = Pid::from_child(&codex);
        let mut left = Vec::new();
        let all = || living().unwrap();
        // Other tests have children at the same time.
        let spared: HashSet<Pid> = all().iter().map(|(pid, _)| *pid).collect();
        let others: HashSet<Pid> = all()
            .iter()
            .filter(|(child, stat)| stat.parent == getpid() && *child != pid)
            .map(|(pid, _)| *pid)
            .collect();
        assert_eq!(left_by_turn(pid, None, &spared).unwrap(), []);
        let mut tries = 0;
        while tries < 200 {
            left = left_by_turn(pid, None, &others).unwrap();
            tries += 1;
            if !left.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let command = |pid: &Pid| {
            let words = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            let words = String::from_utf8_lossy(&words.unwrap_or_default()).replace('\0', " ");
            // It may not have become the other program yet.
            words.trim_start_matches("setsid ").to_owned()
        };
        let mut commands: Vec<String> = left.iter().map(command).collect();
        commands.sort();
        let family = Family {
            root: Some(pid),
            mark: None,
        };
        kill_all(&family.members().unwrap());
        kill_all(&left);
        codex.kill().unwrap();
        codex.wait().unwrap();
        commands
    }

    #[test]
    fn a_turn_leaves_what_has_a_session_of_its_own_and_not_codexs_helpers() {
        assert_eq!(left_by("sleep 3601 &"), [] as [&str; 0]);
        assert_eq!(left_by("sleep 3602 & setsid sleep 3603 &"), ["sleep 3603 "]);
        // A helper's own processes are the helper's.
        let helper = "sh -c 'setsid sleep 3604 & wait' &";
        assert_eq!(left_by(helper), [] as [&str; 0]);
    }

    #[test]
    fn a_turn_leaves_what_has_lost_its_parent_also_where_that_is_known_by_its_mark_alone() {
        let mark = Mark::new(u64::from(std::process::id()) << 32);
        let mut command = Command::new("sh");
        command
            .args(["-c", "(sleep 3607 >/dev/null &); sleep 3608 & echo; wait"])
            .stdout(Stdio::piped());
        // SAFETY: two system calls, which allocate nothing.
        unsafe { command.pre_exec(move || Ok(mark.put_on()?)) };
        let mut codex = command.spawn().unwrap();
        let mut line = [0];
        codex.stdout.take().unwrap().read_exact(&mut line).unwrap();
        let pid = Pid::from_child(&codex);
        // Other tests have children at the same time, which do not carry the mark.
        let left = |spared: &HashSet<Pid>| -> HashSet<Pid> {
            let all = left_by_turn(pid, Some(mark), spared).unwrap();
            all.into_iter().filter(|pid| mark.is_on(*pid)).collect()
        };
        let found = left(&HashSet::new());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(left(&found), HashSet::new());
        let family = Family {
            root: None,
            mark: Some(mark),
        };
        kill_all(&family.members().unwrap());
        codex.wait().unwrap();
    }

    #[test]
    fn below_a_script_it_is_the_programs_children_that_count() {
        let program = "sh -c 'setsid sleep 3605 & wait' sh app-server &";
        assert_eq!(left_by(program), ["sleep 3605 "]);
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
