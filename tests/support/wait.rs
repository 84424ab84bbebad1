//! Waiting for what gives no signal: another process's files and its end.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// How long something may take that is sure to happen: many times what it takes on a machine that has ten times as much to
/// do as it can.
const NEVER: Duration = Duration::from_secs(120);

/// Waits until `done`, looking again every few milliseconds.
///
/// # Panics
/// When it takes longer than two minutes.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < NEVER, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How many bytes wait to be read from a pipe or a socket.
#[must_use]
pub fn unread(from: &impl AsRawFd) -> i32 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open, and the call writes the one number that it is given.
    unsafe { libc::ioctl(from.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    bytes
}

/// Whether a process runs; one that has ended and is not reaped yet does not.
#[must_use]
pub fn is_running(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(") ")
            .next()
            .is_some_and(|state| state.starts_with(['Z', 'X']))
    })
}

/// The processes that have this word in their command line.
///
/// # Panics
/// When `/proc` cannot be read.
#[must_use]
pub fn processes_with(word: &str) -> Vec<i32> {
    // One that ends while this looks has no command line any more.
    let holds = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
    };
    pids()
        .filter(holds)
        .filter(|pid| is_running(*pid))
        .collect()
}

/// The ids of all processes.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").expect("Linux has /proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}
