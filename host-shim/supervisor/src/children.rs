//! The children of this process, without `/proc`.

use std::collections::HashSet;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// One more than the largest process id that Linux gives out.
const PID_MAX_LIMIT: i32 = 4 * 1024 * 1024;

/// Kills all children, and adds them to `killed`. What a child has started becomes a child when the child has ended.
/// Asks for each number whether it is one of a child, which takes about a second where numbers are large.
pub fn kill(killed: &mut HashSet<Pid>) {
    // Another namespace's limit is as good: it only saves time, and is never below what is in use.
    let limit = std::fs::read_to_string("/proc/sys/kernel/pid_max");
    let limit = limit.ok().and_then(|limit| limit.trim().parse().ok());
    let limit = limit.unwrap_or(PID_MAX_LIMIT);
    let running = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    for pid in (1..limit).filter_map(Pid::from_raw) {
        // Neither an error, which is the answer for what is not a child, nor a status, which is that of one that ended.
        if let Ok(None) = waitid(WaitId::Pid(pid), running)
            && kill_process(pid, Signal::KILL).is_ok()
        {
            killed.insert(pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn children_are_found_without_proc() {
        let mut children = [(); 3].map(|()| Command::new("sleep").arg("3600").spawn().unwrap());
        let mut killed = HashSet::new();
        kill(&mut killed);
        for child in &mut children {
            assert!(killed.contains(&Pid::from_child(child)));
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
    }
}
