//! From codex's start until nothing of it is left.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use plexum_openai_provider_supervisor::Report;

use crate::child::Child;
use crate::control::{Control, Word};
use crate::descendants;
use crate::signals::Signals;

/// How long what codex has left behind may take to end by itself: a helper that sees its pipe close does so within
/// a moment, and is nothing to talk about.
const SETTLE: Duration = Duration::from_millis(100);

/// How often what does not go is killed again.
const AGAIN: Duration = Duration::from_millis(20);

/// How long killed processes may take to go. Longer take only those that the kernel does not
/// let go, or that are another user's.
const GIVE_UP: Duration = Duration::from_secs(3);

/// Where things stand.
enum State {
    /// Codex runs, and may.
    Running,
    /// It was asked to end, and has until then.
    Stopping(Instant),
    /// It has ended by itself or when asked, and what it left behind has until then.
    Settling(Instant),
    /// What is left is killed again and again, until then.
    Killing(Instant),
}

/// Watches until all is over, and reports to the host. `lock` is opened when nothing is left.
pub fn watch(
    mut codex: Child,
    control: &Control,
    signals: &Signals,
    grace: Duration,
    mut lock: Option<OwnedFd>,
) {
    let mut state = State::Running;
    let mut host_listens = true;
    let mut killed = HashSet::new();
    loop {
        let now = Instant::now();
        state = match state {
            State::Stopping(until) | State::Settling(until) if now >= until => {
                State::Killing(now + GIVE_UP)
            }
            other => other,
        };
        let wait = match state {
            State::Running => None,
            State::Stopping(until) | State::Settling(until) => Some(until - now),
            State::Killing(until) if now < until => {
                // Without /proc only codex is known.
                if descendants::kill(&mut killed).is_err() {
                    codex.kill();
                }
                Some(AGAIN)
            }
            State::Killing(_) => break,
        };
        let ready = poll(control, signals, host_listens, wait);
        let mut stop = signals.take();
        if ready.control {
            match control.word() {
                Word::Stop => stop = true,
                Word::End => (stop, host_listens) = (true, false),
                Word::Unknown => {}
            }
        }
        // First who has ended, so that nothing is sent to a process that is no longer there.
        loop {
            match reap() {
                Reaped::Ended(pid, status) if pid == codex.id() && codex.is_there() => {
                    codex.note_reaped();
                    killed.remove(&pid);
                    control.report(Report::Ended(status));
                    if !matches!(state, State::Killing(_)) {
                        state = State::Settling(Instant::now() + SETTLE);
                    }
                }
                Reaped::Ended(..) => {}
                Reaped::AllRun => break,
                Reaped::None => {
                    if codex.is_there() {
                        // Somebody else has waited for it.
                        killed.remove(&codex.id());
                        control.report(Report::Ended(Report::UNKNOWN_STATUS));
                    }
                    // First the lock, so that whoever hears of the end finds it open.
                    lock.take();
                    control.report(Report::Gone(count(killed.len())));
                    return;
                }
            }
        }
        if stop && matches!(state, State::Running) {
            codex.interrupt();
            state = State::Stopping(Instant::now() + grace);
        }
    }
    drop(lock);
    let left = descendants::all().map_or(killed.len(), |left| left.len());
    control.report(Report::Left(count(left)));
}

fn count(processes: usize) -> i32 {
    i32::try_from(processes).unwrap_or(i32::MAX)
}

/// What there is to read.
struct Ready {
    control: bool,
}

/// Waits for a signal, for the host if it is there, or for so long.
fn poll(control: &Control, signals: &Signals, host_listens: bool, wait: Option<Duration>) -> Ready {
    let wanted = |descriptor| libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    };
    // A negative number is none.
    let host = if host_listens {
        control.as_raw_fd()
    } else {
        -1
    };
    let mut descriptors = [wanted(signals.as_raw_fd()), wanted(host)];
    let wait = wait.map_or(-1, |wait| {
        // Rounded up: it would turn round and round in the last millisecond.
        libc::c_int::try_from(wait.as_millis() + 1).unwrap_or(libc::c_int::MAX)
    });
    // SAFETY: the array is valid for the two entries that the call is told of.
    let ready = unsafe { libc::poll(descriptors.as_mut_ptr(), 2, wait) };
    let [_, host] = descriptors;
    Ready {
        control: ready > 0 && host.revents != 0,
    }
}

/// What a wait for any child returns.
enum Reaped {
    /// This one has ended, with this status.
    Ended(libc::pid_t, libc::c_int),
    /// There are some, and none has ended.
    AllRun,
    /// There are none.
    None,
}

fn reap() -> Reaped {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
        0 => Reaped::AllRun,
        -1 => Reaped::None,
        pid => Reaped::Ended(pid, status),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use plexum_openai_provider_supervisor::STOP;

    use super::*;

    #[test]
    fn a_child_that_somebody_else_has_waited_for_has_ended_with_unknown_status() {
        let (mut host, supervisor) = UnixStream::pair().unwrap();
        host.write_all(&[0, STOP]).unwrap();
        let socket = File::from(OwnedFd::from(supervisor));
        let (control, orders) = Control::on(socket).unwrap();
        let signals = Signals::block().unwrap();
        let grace = Duration::from_secs(60);
        watch(Child::of_nobody(), &control, &signals, grace, orders.lock);
        drop(control);
        let mut reports = Vec::new();
        host.read_to_end(&mut reports).unwrap();
        let (reports, []) = reports.as_chunks::<{ Report::LEN }>() else {
            panic!("a part of a report: {reports:?}");
        };
        let reports: Vec<_> = reports.iter().copied().map(Report::from_bytes).collect();
        let expected = [Report::Ended(Report::UNKNOWN_STATUS), Report::Gone(0)];
        assert_eq!(reports, expected.map(Some));
    }
}
