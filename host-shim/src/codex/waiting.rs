//! Supervisors that wait for their next codex, so that a turn does not wait for a process to start and to exit.
//!
//! A supervisor stays when nothing of its codex is left and there was a reason to expect another turn: one had begun within
//! [`IDLE`] before its own. There are [`MOST`] at most in this process. They go when no turn has needed them for [`IDLE`],
//! with the runtime that they were started in, and when a provider is closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Signal, WaitId, WaitIdOptions, getrlimit, kill_process, waitid};
use tokio::runtime::{Handle, Id};
use tokio::time::{Duration, Instant};

use super::supervisor::Supervisor;

/// For how long one waits for a turn.
const IDLE: Duration = Duration::from_secs(30);

/// How many wait. Of turns that overlap, as many may end before the next begin.
const MOST: usize = 8;

/// Where this process may have fewer files open, turns need them all: one that waits has two.
const FEW_FILES: u64 = 256;

static STATE: Mutex<State> = Mutex::new(State {
    last_start: None,
    keeper: None,
    waiting: Vec::new(),
});

struct State {
    /// When a turn began last.
    last_start: Option<Instant>,
    /// The task that ends those that nobody needs.
    keeper: Option<Keeper>,
    /// Those that wait, and since when; the one that has waited longest comes first.
    waiting: Vec<(Instant, Supervisor)>,
}

struct Keeper {
    /// Sockets work only in the runtime in which they were made.
    runtime: Id,
    /// What only this keeper has.
    token: Arc<()>,
}

/// Notes that a turn begins, and returns whether another is to be expected, so that its supervisor should stay.
pub fn note_start() -> bool {
    let now = Instant::now();
    let last = state().last_start.replace(now);
    last.is_some_and(|last| now - last < IDLE) && !files_are_few()
}

/// The one that has waited least, if there is one.
pub fn take() -> Option<Supervisor> {
    let mut state = state();
    let here = Handle::current().id();
    state
        .keeper
        .as_ref()
        .filter(|keeper| keeper.runtime == here)?;
    state.waiting.pop().map(|(_, supervisor)| supervisor)
}

/// Has this one wait. It has to have done what it was told, and to be of this runtime. It is returned if there is no place
/// for it.
pub fn keep(supervisor: Supervisor) -> Option<Supervisor> {
    let mut state = state();
    let runtime = Handle::current();
    let elsewhere = |keeper: &Keeper| keeper.runtime != runtime.id();
    // One runtime is enough for a process, and the turns of others do without.
    if state.waiting.len() >= MOST || state.keeper.as_ref().is_some_and(elsewhere) {
        return Some(supervisor);
    }
    state.waiting.push((Instant::now(), supervisor));
    if state.keeper.is_none() {
        let token = Arc::default();
        state.keeper = Some(Keeper {
            runtime: runtime.id(),
            token: Arc::clone(&token),
        });
        // A runtime that is shut down drops the task at once, which locks the state.
        drop(state);
        runtime.spawn(end_idle(Keeping(token)));
    }
    None
}

fn files_are_few() -> bool {
    let most = getrlimit(Resource::Nofile).current;
    most.is_some_and(|most| most < FEW_FILES)
}

fn state() -> MutexGuard<'static, State> {
    // It is whole between any two statements.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends each that has waited for too long, until none waits.
async fn end_idle(keeping: Keeping) {
    while let Some(due) = keeping.end_until(Instant::now()) {
        tokio::time::sleep_until(due).await;
    }
}

/// What the task has. All that wait end with this, also when its runtime ends.
struct Keeping(Arc<()>);

impl Keeping {
    /// Ends those that have waited for too long by now; when to look again, unless none is left.
    fn end_until(&self, now: Instant) -> Option<Instant> {
        let mut state = state();
        if !self.is_in(&state) {
            return None;
        }
        let is_over = |(since, _): &(Instant, _)| *since + IDLE <= now;
        let over = state.waiting.iter().take_while(|one| is_over(one)).count();
        for (_, supervisor) in state.waiting.drain(..over) {
            end(supervisor);
        }
        let (since, _) = state.waiting.first()?;
        Some(*since + IDLE)
    }

    /// Whether the task is still the one that counts.
    fn is_in(&self, state: &State) -> bool {
        let keeper = state.keeper.as_ref();
        keeper.is_some_and(|keeper| Arc::ptr_eq(&keeper.token, &self.0))
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let is_last = self.is_in(&state());
        if is_last {
            end_all();
        }
    }
}

/// Ends those that wait, and returns when they are gone.
pub fn end_all() {
    let mut state = state();
    state.keeper = None;
    for (_, supervisor) in state.waiting.drain(..) {
        end(supervisor);
    }
}

fn end(supervisor: Supervisor) {
    if let Some(id) = supervisor.id() {
        // It has nothing to lose. In a runtime that ends, nobody would wait for it later.
        let _ = kill_process(id, Signal::KILL);
        // It is reaped where it is dropped, which knows that its number is free then.
        let _ = waitid(
            WaitId::Pid(id),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        );
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, test_kill_process};
    use tokio::runtime::Runtime;

    use super::*;

    fn runtime(paused: bool) -> Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(paused).build().unwrap()
    }

    /// One that waits.
    fn one() -> Pid {
        let supervisor = Supervisor::start().unwrap();
        let id = supervisor.id().unwrap();
        assert!(keep(supervisor).is_none());
        id
    }

    fn is_there(id: Pid) -> bool {
        test_kill_process(id).is_ok()
    }

    /// One test, because there is one state in the process.
    #[test]
    fn one_waits_where_turns_are_frequent_and_goes_when_they_end() {
        let first = runtime(false);
        let second = first.block_on(async {
            assert!(!note_start(), "one turn may be the only one");
            assert!(note_start());
            assert!(take().is_none());
            let id = one();
            for _ in 1..MOST {
                one();
            }
            let more = keep(Supervisor::start().unwrap());
            assert!(more.is_some(), "there is no place for another");
            let mut latest = (1..MOST).map(|_| take().unwrap().id());
            assert!(
                latest.all(|latest| latest != Some(id)),
                "the first has waited longest"
            );
            let elsewhere =
                std::thread::spawn(|| runtime(false).block_on(async { take().is_some() }));
            assert!(!elsewhere.join().unwrap(), "it is of this runtime");
            let taken = take().unwrap();
            assert_eq!(taken.id(), Some(id));
            assert!(take().is_none());
            drop(taken);
            one()
        });
        assert!(is_there(second));
        drop(first);
        assert!(!is_there(second), "it goes with its runtime");

        runtime(true).block_on(async {
            let third = one();
            tokio::time::sleep(IDLE * 2 / 3).await;
            assert!(keep(take().unwrap()).is_none());
            tokio::time::sleep(IDLE * 2 / 3).await;
            assert!(is_there(third), "it has been needed since");
            tokio::time::sleep(IDLE).await;
            assert!(state().keeper.is_none() && state().waiting.is_empty());
            assert!(!is_there(third), "it goes when no turn comes");
        });
    }
}
