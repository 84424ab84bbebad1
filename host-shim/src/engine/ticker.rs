//! The clock by which the component's computing is measured and interrupted.
//!
//! Compiled code looks at its engine's epoch at every loop and call. A dedicated thread advances the
//! epoch, because the runtime may have a single thread, and that one runs the component.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How far apart two epochs are. It is also how long other tasks of a single-threaded runtime
/// may have to wait for a component that computes.
pub const TICK: Duration = Duration::from_millis(10);

/// Advances an engine's epoch while turns are open. Ends when it is dropped.
pub struct Ticker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many turns are open. Without one there is nothing to measure, and the thread sleeps.
    turns: usize,
    dropped: bool,
}

/// Keeps the clock running while it is held.
pub struct Ticking(Arc<Shared>);

impl Ticker {
    /// Starts the thread.
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (engine, clock) = (engine.weak(), Arc::clone(&shared));
        std::thread::Builder::new()
            .name("plexum-ticker".into())
            .spawn(move || clock.run(&engine))?;
        Ok(Ticker(shared))
    }

    /// Keeps the clock running until what it returns is dropped.
    pub fn tick(&self) -> Ticking {
        let mut state = self.0.state();
        state.turns += 1;
        let is_first = state.turns == 1;
        drop(state);
        // Otherwise the thread is awake, or looks within a tick.
        if is_first {
            self.0.changed.notify_one();
        }
        Ticking(Arc::clone(&self.0))
    }
}

impl Shared {
    fn run(&self, engine: &EngineWeak) {
        loop {
            let mut state = self.state();
            while state.turns == 0 && !state.dropped {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let dropped = state.dropped && state.turns == 0;
            drop(state);
            match engine.upgrade() {
                Some(engine) if !dropped => engine.increment_epoch(),
                _ => return,
            }
            std::thread::sleep(TICK);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        // The thread sees it within a tick.
        self.0.state().turns -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.state().dropped = true;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_ends_with_its_ticker_and_the_last_turn() {
        let engine = Engine::default();
        let ticker = Ticker::start(&engine).unwrap();
        let shared = Arc::downgrade(&ticker.0);
        let ticking = ticker.tick();
        drop(ticker);
        std::thread::sleep(TICK * 3);
        assert!(shared.upgrade().is_some(), "a turn is open");
        drop(ticking);
        let mut waited = 0;
        while shared.upgrade().is_some() {
            waited += 1;
            assert!(waited < 1000, "the thread does not end");
            std::thread::sleep(TICK);
        }
    }
}
