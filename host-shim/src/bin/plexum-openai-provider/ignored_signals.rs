//! The signals that whoever started this program wants ignored.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Watches for the end of the terminal, which is a stop like SIGTERM. Nothing if it is ignored from the start, as
/// `nohup` has it: watching would undo that.
pub fn watch_hangup() -> io::Result<Option<Signal>> {
    unless_ignored(SignalKind::hangup())
}

/// Watches for Ctrl-Z. Nothing if it is ignored from the start, as it is by a shell without job control.
pub fn watch_suspend() -> io::Result<Option<Signal>> {
    unless_ignored(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))
}

fn unless_ignored(kind: SignalKind) -> io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if is_ignored(&status, kind) {
        return Ok(None);
    }
    signal(kind).map(Some)
}

/// Waits for the signal; for ever if it is not watched.
pub async fn arrives(watched: &mut Option<Signal>) {
    match watched {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether this signal is among the ignored ones of a `/proc/PID/status`. Unknown is no.
fn is_ignored(status: &str, kind: SignalKind) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value() - 1).ok();
    let bit = bit.and_then(|bit| 1_u64.checked_shl(bit));
    matches!((mask, bit), (Some(mask), Some(bit)) if mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_tells_which_are_ignored() {
        let hangup = SignalKind::hangup();
        assert!(is_ignored("Name:\tx\nSigIgn:\t0000000000001001\n", hangup));
        assert!(!is_ignored("SigIgn:\t0000000000001000\n", hangup));
        assert!(!is_ignored("SigCgt:\t0000000000000001\n", hangup));
        assert!(!is_ignored("SigIgn:\tnonsense\n", hangup));
    }
}
