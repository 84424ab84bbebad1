//! Waiting for what gives no signal: another process's files and its end.

use std::time::{Duration, Instant};

/// Waits until `done`, looking again every few milliseconds.
///
/// # Panics
/// When it takes longer than half a minute.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "waited in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process runs; one that has ended and is not reaped yet does not.
#[must_use]
pub fn is_running(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(") ")
            .next()
            .is_some_and(|state| state.starts_with('Z'))
    })
}
