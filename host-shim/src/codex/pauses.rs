//! Time in which nobody could run.
//!
//! A machine or a service can be frozen (`docker pause`, a paused virtual machine, a cgroup's freezer) and go on later. The
//! clocks have gone on meanwhile, and codex has not. That time is charged to nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How often a wait looks whether this process runs.
pub const TICK: Duration = Duration::from_secs(1);

/// How late a look may be on a machine that has much to do. If it is later, this process did not run.
const LATE: Duration = Duration::from_millis(500);

/// The pauses of one turn, as its waits notice them.
#[derive(Debug)]
pub struct Pauses(Mutex<Noticed>);

#[derive(Debug)]
struct Noticed {
    /// The sum of them.
    all: Duration,
    /// The end of the last one: two waits notice the same pause.
    until: Instant,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses(Mutex::new(Noticed {
            all: Duration::ZERO,
            until: Instant::now(),
        }))
    }
}

impl Pauses {
    /// Notes that a wait was to end at `wake` and ends only now, and returns the pause that was in between, if it was
    /// one.
    pub fn note(&self, wake: Instant) -> Option<Duration> {
        let now = Instant::now();
        let late = now.saturating_duration_since(wake);
        if late <= LATE {
            return None;
        }
        let mut noticed = self.noticed();
        let from = wake.max(noticed.until);
        noticed.all += now.saturating_duration_since(from);
        noticed.until = now;
        Some(late)
    }

    /// Waits until `deadline`, and beyond it for as long as the pauses since the beginning of the turn were.
    pub async fn sleep_until(&self, deadline: Instant) {
        self.sleep_beyond(deadline, Duration::ZERO).await;
    }

    /// Waits for so long, pauses not counted.
    pub async fn sleep(&self, duration: Duration) {
        let before = self.noticed().all;
        self.sleep_beyond(Instant::now() + duration, before).await;
    }

    async fn sleep_beyond(&self, deadline: Instant, before: Duration) {
        loop {
            let due = deadline + (self.noticed().all - before);
            let now = Instant::now();
            if now >= due {
                return;
            }
            let wake = due.min(now + TICK);
            sleep_until(wake).await;
            self.note(wake);
        }
    }

    fn noticed(&self) -> MutexGuard<'_, Noticed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_charged_to_nobody_and_counted_once() {
        let pauses = Pauses::default();
        let began = Instant::now();
        let (first, second) = (began + 10 * SECOND, began + 20 * SECOND);
        let frozen = async {
            tokio::time::sleep(SECOND / 2).await;
            // Both waits were to look after half a second more.
            advance(60 * SECOND).await;
        };
        tokio::join!(frozen, pauses.sleep_until(first), pauses.sleep_until(first));
        let pause = 59 * SECOND + SECOND / 2;
        assert_eq!(began.elapsed(), pause + 10 * SECOND);
        pauses.sleep_until(second).await;
        assert_eq!(began.elapsed(), pause + 20 * SECOND);
        // What was before does not make this one longer.
        pauses.sleep(SECOND).await;
        assert_eq!(began.elapsed(), pause + 21 * SECOND);
    }
}
