//! Cases of one test that mostly wait: for a clock, for a codex.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many at once. Each starts a few processes before it waits, and has clocks of some seconds meanwhile.
const AT_ONCE: usize = 4;

/// Runs `test` with each of these cases, some at once.
///
/// # Panics
/// When it panics with one of them, after the others that run.
pub fn side_by_side<T: Send>(
    cases: impl IntoIterator<Item = T, IntoIter: Send>,
    test: impl Fn(T) + Sync,
) {
    let cases = Mutex::new(cases.into_iter());
    let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(case) = next() {
            test(case);
        }
    };
    let name = thread::current().name().unwrap_or("a case").to_owned();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            // What it prints names the test.
            let worker = thread::Builder::new().name(name.clone());
            worker
                .spawn_scoped(scope, work)
                .expect("a thread can be started");
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_case_is_run_once_and_some_at_once() {
        let barrier = Barrier::new(AT_ONCE);
        let ran: [AtomicUsize; 3 * AT_ONCE] = Default::default();
        side_by_side(0..ran.len(), |case| {
            // Nobody comes past it alone.
            barrier.wait();
            ran[case].fetch_add(1, Ordering::Relaxed);
        });
        assert!(ran.iter().all(|ran| ran.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn one_that_fails_fails_all() {
        let failed = std::panic::catch_unwind(|| {
            side_by_side(0..10, |case| assert_ne!(case, 7));
        });
        assert!(failed.is_err());
    }
}
