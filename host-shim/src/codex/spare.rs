//! One supervisor that was started ahead of the turn that needs it, so that the turn does not wait for a process.
//!
//! There is one at most in this process, and none before there was a reason to expect another turn: two of them within
//! [`IDLE`]. It goes when no turn has begun for that long, with the runtime that it was started in, and when a provider is
//! closed.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Signal, WaitId, WaitIdOptions, getrlimit, kill_process, waitid,
};
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;

use super::supervisor::Supervisor;

/// For how long one waits for a turn.
const IDLE: Duration = Duration::from_secs(30);

/// Where this process may have fewer files open, turns need them all: one that waits has four.
const FEW_FILES: u64 = 256;

static STATE: Mutex<State> = Mutex::new(State {
    last_start: None,
    keeper: None,
    spare: None,
});

struct State {
    /// When a turn began last.
    last_start: Option<Instant>,
    /// The task that starts them, and ends one that nobody needs.
    keeper: Option<Keeper>,
    spare: Option<Supervisor>,
}

struct Keeper {
    /// Sockets and pipes work only in the runtime in which they were made.
    runtime: Id,
    /// A turn has begun.
    began: Arc<Notify>,
}

/// The one that waits, if there is one.
pub fn take() -> Option<Supervisor> {
    let mut state = state();
    let here = Handle::current().id();
    let is_here = |keeper: &&Keeper| keeper.runtime == here;
    state.keeper.as_ref().filter(is_here)?;
    state.spare.take()
}

/// A turn has begun, with a supervisor of its own: if that happens often, there is to be one for the next.
pub fn prepare() {
    let mut state = state();
    let now = Instant::now();
    let last = state.last_start.replace(now);
    let runtime = Handle::current();
    match &state.keeper {
        Some(keeper) if keeper.runtime == runtime.id() => keeper.began.notify_one(),
        // One is enough for a process, and the turns of other runtimes do without.
        Some(_) => {}
        None if last.is_some_and(|last| now - last < IDLE) && !files_are_few() => {
            let began = Arc::<Notify>::default();
            began.notify_one();
            state.keeper = Some(Keeper {
                runtime: runtime.id(),
                began: Arc::clone(&began),
            });
            // A runtime that is shut down drops the task at once, which locks the state.
            drop(state);
            runtime.spawn(keep(Keeping(began)));
        }
        None => {}
    }
}

fn files_are_few() -> bool {
    let most = getrlimit(Resource::Nofile).current;
    most.is_some_and(|most| most < FEW_FILES)
}

fn state() -> MutexGuard<'static, State> {
    // It is whole between any two statements.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has one wait from each beginning of a turn on, until no more turns begin.
async fn keep(keeping: Keeping) {
    while tokio::time::timeout(IDLE, keeping.0.notified())
        .await
        .is_ok()
    {
        if state().spare.is_some() {
            continue;
        }
        // Off the turn's path: this takes as long as a few of its other steps together.
        let started = tokio::task::spawn_blocking(Supervisor::start).await;
        match started.map_err(io::Error::from).flatten() {
            Ok(supervisor) => {
                let mut state = state();
                if !keeping.is_in(&state) {
                    return;
                }
                state.spare = Some(supervisor);
            }
            // The turn that needs one tries again, and says why it failed.
            Err(error) => tracing::debug!(%error, "no supervisor could be started ahead"),
        }
    }
}

/// What the task has. It ends with this, also when its runtime ends.
struct Keeping(Arc<Notify>);

impl Keeping {
    /// Whether the task is still the one that counts.
    fn is_in(&self, state: &State) -> bool {
        let keeper = state.keeper.as_ref();
        keeper.is_some_and(|keeper| Arc::ptr_eq(&keeper.began, &self.0))
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let is_last = self.is_in(&state());
        if is_last {
            end();
        }
    }
}

/// Ends the one that waits, and returns when it is gone. There is none until turns are frequent again.
pub fn end() {
    let mut state = state();
    state.keeper = None;
    let Some(spare) = state.spare.take() else {
        return;
    };
    let id = spare.process.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(Pid::from_raw) {
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
    use rustix::process::test_kill_process;
    use tokio::runtime::Runtime;

    use super::*;

    fn runtime(paused: bool) -> Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(paused).build().unwrap()
    }

    /// The process that waits; another task makes it.
    async fn waiting() -> Pid {
        loop {
            if let Some(spare) = &state().spare {
                let id = i32::try_from(spare.process.id().unwrap()).unwrap();
                return Pid::from_raw(id).unwrap();
            }
            tokio::task::yield_now().await;
        }
    }

    fn is_there(id: Pid) -> bool {
        test_kill_process(id).is_ok()
    }

    /// One test, because there is one in the process.
    #[test]
    fn one_waits_where_turns_are_frequent_and_goes_when_they_end() {
        let first = runtime(false);
        let second = first.block_on(async {
            prepare();
            assert!(state().keeper.is_none(), "one turn may be the only one");
            prepare();
            let one = waiting().await;
            let elsewhere =
                std::thread::spawn(|| runtime(false).block_on(async { take().is_some() }));
            assert!(!elsewhere.join().unwrap(), "it is of this runtime");
            let taken = take().unwrap();
            assert!(take().is_none());
            prepare();
            let two = waiting().await;
            assert!(one != two && is_there(one) && is_there(two));
            drop(taken);
            two
        });
        drop(first);
        assert!(!is_there(second), "it goes with its runtime");

        runtime(true).block_on(async {
            prepare();
            let three = waiting().await;
            tokio::time::sleep(IDLE * 2).await;
            assert!(state().keeper.is_none() && state().spare.is_none());
            assert!(!is_there(three), "it goes when no turn comes");
        });
    }
}
