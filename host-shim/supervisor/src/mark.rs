//! A mark that everything of one turn carries.
//!
//! It is a limit that means nothing to a program that is not a real-time one: the time for which such a program may
//! compute without a pause (`RLIMIT_RTTIME`), set to one of the largest numbers that there are. Whatever codex starts
//! inherits it, and neither a session of its own, nor an empty environment, nor closed descriptors take it away. So the
//! host finds what is left when the supervisor, by which it knows the others, was killed.

use rustix::io;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

/// The mark of one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

/// What all marks have in common: so many microseconds are 146,000 years.
const BASE: u64 = 1 << 62;

impl Mark {
    /// A mark from this number, of which the lowest 62 bits count. Choose it at random, so that no two turns have the
    /// same one.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Mark(BASE | (number & (BASE - 1)))
    }

    /// The mark of which this is [`Mark::number`].
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        (number >> 62 == 1).then_some(Mark(number))
    }

    /// The number that stands for it.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// Marks this process, and all that it starts from here on.
    ///
    /// # Errors
    /// If a limit is in force that this process may not raise. It then carries no mark.
    pub fn put_on(self) -> io::Result<()> {
        let maximum = getrlimit(Resource::Rttime).maximum;
        let current = Some(self.0);
        setrlimit(Resource::Rttime, Rlimit { current, maximum })
    }

    /// Whether this process may put it on: no lower limit is in force.
    #[must_use]
    pub fn may_be_put_on(self) -> bool {
        let most = getrlimit(Resource::Rttime).maximum;
        most.is_none_or(|most| most >= self.0)
    }

    /// Whether this process carries the mark. One that has ended does not.
    #[must_use]
    pub fn is_on(self, pid: Pid) -> bool {
        let limits = format!("/proc/{}/limits", pid.as_raw_nonzero());
        // It may end before its file is read.
        std::fs::read_to_string(limits).is_ok_and(|limits| self.is_in(&limits))
    }

    /// Whether a `/proc/PID/limits` shows it.
    fn is_in(self, limits: &str) -> bool {
        let soft = limits.lines().find_map(|line| {
            let values = line.strip_prefix("Max realtime timeout")?;
            values.split_ascii_whitespace().next()
        });
        soft.and_then(|soft| soft.parse().ok()) == Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_mark_is_read_from_the_limits() {
        let mark = Mark::new(7);
        let limits = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max realtime priority     0                    0                    \n\
                 Max realtime timeout      {soft}  unlimited            us        \n"
            )
        };
        assert!(mark.is_in(&limits("4611686018427387911")));
        for soft in ["unlimited", "4611686018427387912", "7", ""] {
            assert!(!mark.is_in(&limits(soft)), "{soft}");
        }
        assert!(!mark.is_in(""));
    }

    #[test]
    fn a_number_that_is_no_mark_is_refused() {
        let mark = Mark::new(u64::MAX);
        assert_eq!(Mark::from_number(mark.number()), Some(mark));
        for number in [0, 7, u64::MAX, 1 << 63] {
            assert_eq!(Mark::from_number(number), None, "{number}");
        }
    }

    #[test]
    fn a_session_of_its_own_and_an_empty_environment_do_not_take_it_away() {
        let (mark, other) = (Mark::new(1), Mark::new(2));
        let mut command = Command::new("setsid");
        command
            .args(["env", "-i", "sh", "-c", "echo; exec cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // SAFETY: two system calls, which allocate nothing.
        unsafe { command.pre_exec(move || Ok(mark.put_on()?)) };
        let mut child = command.spawn().unwrap();
        let mut line = [0];
        std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut line).unwrap();
        let pid = Pid::from_child(&child);
        assert!(mark.is_on(pid) && !other.is_on(pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!mark.is_on(pid));
    }
}
