//! From codex's start until nothing of it is left.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use plexum_openai_provider_supervisor::{Family, Mark, Report, kill_all, left_by_turn};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, WaitOptions, getpid, wait};

use crate::child::Child;
use crate::children;
use crate::control::{Control, Word};
use crate::signals::Signals;

/// How long processes that codex left behind may take to exit on their own: a helper that sees its pipe close does so
/// within a moment, and is not worth reporting.
const SETTLE: Duration = Duration::from_millis(100);

/// How often processes that do not go are killed again.
const AGAIN: Duration = Duration::from_millis(20);

/// How long killed processes may take to go. Only those that the kernel does not let go, or that belong to another
/// user, take longer.
const GIVE_UP: Duration = Duration::from_secs(3);

/// How late a wait may end on a machine that has much to do. If it ends later, nobody ran in the meantime: the machine or
/// all of these processes were frozen.
const LATE: Duration = Duration::from_millis(500);

/// The state of codex and of what it left behind.
enum State {
    /// Codex is running, and has not been asked to stop.
    Running,
    /// It was asked to end, and has until this moment.
    Stopping(Instant),
    /// It has ended, and what it left behind has until this moment.
    Settling(Instant),
    /// What is left is killed again and again, until this moment.
    Killing(Instant),
}

/// Waits until the host says something, or is gone. Returns false if a signal asks this process to end, which does nothing
/// meanwhile.
pub fn wait_for_host(control: &Control, signals: &Signals) -> bool {
    loop {
        let host_said = poll(control, signals, true, None);
        if signals.take() {
            return false;
        }
        if host_said {
            return true;
        }
    }
}

/// Watches until all is over, and reports to the host; returns whether nothing is left. `lock` is released then. What has
/// lost its parent is a child of this process, or, with `orphans`, is not and carries this mark.
pub fn watch(
    mut codex: Child,
    orphans: Option<Mark>,
    control: &Control,
    signals: &Signals,
    grace: Duration,
    mut lock: Option<OwnedFd>,
) -> bool {
    let mut state = State::Running;
    let mut host_listens = true;
    let mut killed = HashSet::new();
    // Those that stand still because the host wants that.
    let mut suspended = HashSet::new();
    let mut turn = Turn {
        orphans,
        ..Turn::default()
    };
    let family = Family {
        root: Some(getpid()),
        mark: orphans,
    };
    loop {
        let now = Instant::now();
        state = match state {
            State::Stopping(until) | State::Settling(until) if now >= until => {
                State::Killing(now + GIVE_UP)
            }
            other => other,
        };
        let pause = match state {
            State::Running => None,
            State::Stopping(until) | State::Settling(until) => Some(until - now),
            State::Killing(until) if now < until => {
                if family.kill(&mut killed).is_err() {
                    children::kill(&mut killed);
                }
                Some(AGAIN)
            }
            State::Killing(_) => break,
        };
        let pause = [pause, turn.sweep(&codex, control)]
            .into_iter()
            .flatten()
            .min();
        let host_said = poll(control, signals, host_listens, pause);
        // Time in which codex could not run is not its time.
        let late = pause.map_or(Duration::ZERO, |pause| now.elapsed().saturating_sub(pause));
        if late > LATE
            && let State::Stopping(until) | State::Settling(until) = &mut state
        {
            *until += late;
        }
        let mut stop = signals.take();
        if host_said {
            let (word, locked) = control.word();
            match word {
                Word::Stop => stop = true,
                Word::Kill => state = State::Killing(Instant::now() + GIVE_UP),
                // Without /proc they cannot be seen, and work on.
                Word::Suspend if matches!(state, State::Running) => {
                    suspended = family.halt().unwrap_or_default();
                }
                Word::Suspend => {}
                Word::Resume => go_on(family, &mut suspended),
                Word::Turn => {
                    turn.begin(&codex, locked);
                    control.report(Report::TurnBegun);
                }
                Word::Sweep => turn.end(),
                Word::Ping => control.report(Report::Awake),
                Word::End => (stop, host_listens) = (true, false),
                Word::Unknown => {}
            }
        }
        // First what has ended, so that nothing is sent to a process that is no longer there.
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
                        // Something else has waited for it.
                        codex.note_reaped();
                        killed.remove(&codex.id());
                        control.report(Report::Ended(Report::UNKNOWN_STATUS));
                    }
                    if has_orphans(family) {
                        if matches!(state, State::Running | State::Stopping(_)) {
                            state = State::Settling(Instant::now() + SETTLE);
                        }
                        break;
                    }
                    // First the locks, so that whoever hears of the end finds them open.
                    drop((lock.take(), turn.lock.take()));
                    control.report(Report::Gone(count(killed.len())));
                    return true;
                }
            }
        }
        if stop && matches!(state, State::Running) {
            codex.interrupt();
            go_on(family, &mut suspended);
            state = State::Stopping(Instant::now() + grace);
        }
    }
    drop((lock, turn));
    // There is at least one, whether or not it can be seen.
    let left = family.members().map_or(1, |left| left.len().max(1));
    control.report(Report::Left(count(left)));
    false
}

/// Whether there is something that is not a child of this process, and that no signal tells the end of. Without `/proc` that
/// cannot be seen.
fn has_orphans(family: Family) -> bool {
    family.mark.is_some() && family.members().is_ok_and(|members| !members.is_empty())
}

/// One turn of a codex that stays.
#[derive(Default)]
struct Turn {
    /// The mark of what has lost its parent, where that does not become a child of this process.
    orphans: Option<Mark>,
    /// A file that stays locked until nothing of it is left.
    lock: Option<OwnedFd>,
    /// What was there when it began, and is not the turn's.
    spared: HashSet<Pid>,
    /// While what it has left is being ended: until when, and what that was.
    sweeping: Option<(Instant, HashSet<Pid>)>,
}

impl Turn {
    fn begin(&mut self, codex: &Child, lock: Option<OwnedFd>) {
        self.lock = lock;
        // Without /proc nothing is seen, and nothing is swept.
        let there = left_by_turn(codex.id(), self.orphans, &HashSet::new());
        self.spared = there.unwrap_or_default().into_iter().collect();
    }

    fn end(&mut self) {
        self.sweeping = Some((Instant::now() + GIVE_UP, HashSet::new()));
    }

    /// Ends what the turn has left, and reports when it is gone. How long to wait before that is done again.
    fn sweep(&mut self, codex: &Child, control: &Control) -> Option<Duration> {
        let (until, killed) = self.sweeping.as_mut()?;
        let left = match codex.is_there() {
            // All of it ends with codex.
            false => Ok(Vec::new()),
            true => left_by_turn(codex.id(), self.orphans, &self.spared),
        };
        let report = match left {
            Ok(left) if left.is_empty() => count(killed.len()),
            Ok(left) if Instant::now() < *until => {
                kill_all(&left);
                killed.extend(left);
                return Some(SWEEP_AGAIN);
            }
            Ok(_) | Err(_) => -1,
        };
        // What could not be ended goes with codex, and the lock then.
        if report >= 0 && codex.is_there() {
            self.lock = None;
        }
        control.report(Report::Swept(report));
        self.sweeping = None;
        None
    }
}

/// How soon to look whether what was killed is gone.
const SWEEP_AGAIN: Duration = Duration::from_millis(2);

fn go_on(family: Family, suspended: &mut HashSet<Pid>) {
    if !suspended.is_empty() {
        // They could be seen when they were suspended.
        let _ = family.go_on(suspended);
        suspended.clear();
    }
}

fn count(processes: usize) -> i32 {
    i32::try_from(processes).unwrap_or(i32::MAX)
}

/// Waits for a signal, for the host if it listens, or until `pause` is over. Returns whether there is something to read
/// from the host.
fn poll(control: &Control, signals: &Signals, host_listens: bool, pause: Option<Duration>) -> bool {
    let mut signals = PollFd::new(signals, PollFlags::IN);
    let host = PollFd::new(control, PollFlags::IN);
    // A time that does not fit is as good as forever.
    let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
    if !host_listens {
        let _ = rustix::event::poll(std::slice::from_mut(&mut signals), pause.as_ref());
        return false;
    }
    let mut both = [signals, host];
    let ready = rustix::event::poll(&mut both, pause.as_ref());
    let [_, host] = both;
    ready.is_ok() && !host.revents().is_empty()
}

/// What a wait for any child returns.
enum Reaped {
    /// This one has ended, with this status.
    Ended(Pid, i32),
    /// There are some, and none has ended.
    AllRun,
    /// There are none.
    None,
}

fn reap() -> Reaped {
    match wait(WaitOptions::NOHANG) {
        Ok(Some((pid, status))) => Reaped::Ended(pid, status.as_raw()),
        Ok(None) => Reaped::AllRun,
        Err(_) => Reaped::None,
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
    fn a_child_that_something_else_has_waited_for_has_ended_with_unknown_status() {
        let (mut host, supervisor) = UnixStream::pair().unwrap();
        host.write_all(&[STOP]).unwrap();
        let control = Control::on(File::from(OwnedFd::from(supervisor)));
        let signals = Signals::block().unwrap();
        let grace = Duration::from_secs(60);
        assert!(watch(
            Child::of_nobody(),
            None,
            &control,
            &signals,
            grace,
            None
        ));
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
