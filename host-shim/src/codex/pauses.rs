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

/// A moment that moves by the pauses until then.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    /// The sum of the pauses when it was set.
    before: Duration,
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
        // Those before this wait as well.
        self.pass(Deadline {
            at: deadline,
            before: Duration::ZERO,
        })
        .await;
    }

    /// Waits for so long, pauses not counted.
    pub async fn sleep(&self, duration: Duration) {
        self.pass(self.deadline(duration)).await;
    }

    /// Does `work`, or abandons it when it has taken `most`, pauses not counted. What it has not taken is left in `most`.
    pub async fn within<T>(&self, most: &mut Duration, work: impl Future<Output = T>) -> Option<T> {
        let deadline = self.deadline(*most);
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            () = self.pass(deadline) => None,
        };
        *most = self.left(deadline);
        done
    }

    /// The end of so much time from now, pauses not counted.
    pub fn deadline(&self, duration: Duration) -> Deadline {
        Deadline {
            at: Instant::now() + duration,
            before: self.noticed().all,
        }
    }

    /// How much time is left until then.
    pub fn left(&self, deadline: Deadline) -> Duration {
        let due = deadline.at + (self.noticed().all - deadline.before);
        due.saturating_duration_since(Instant::now())
    }

    async fn pass(&self, deadline: Deadline) {
        loop {
            let left = self.left(deadline);
            if left.is_zero() {
                return;
            }
            let wake = Instant::now() + left.min(TICK);
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

    /// Nobody runs for a minute, half a second from now.
    async fn frozen() {
        tokio::time::sleep(SECOND / 2).await;
        advance(60 * SECOND).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_charged_to_nobody_and_counted_once() {
        let pauses = Pauses::default();
        let began = Instant::now();
        let (first, second) = (began + 10 * SECOND, began + 20 * SECOND);
        // Both waits were to look after half a second more.
        tokio::join!(
            frozen(),
            pauses.sleep_until(first),
            pauses.sleep_until(first)
        );
        let pause = 59 * SECOND + SECOND / 2;
        assert_eq!(began.elapsed(), pause + 10 * SECOND);
        pauses.sleep_until(second).await;
        assert_eq!(began.elapsed(), pause + 20 * SECOND);
        // What was before does not make this one longer.
        pauses.sleep(SECOND).await;
        assert_eq!(began.elapsed(), pause + 21 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_has_as_long_as_it_would_have_without_pauses() {
        let pauses = Pauses::default();
        let began = Instant::now();
        let until = pauses.deadline(10 * SECOND);
        let mut left = 10 * SECOND;
        let work = pauses.within(&mut left, tokio::time::sleep(61 * SECOND));
        let ((), done) = tokio::join!(frozen(), work);
        // It was to look after a second, and looked after 60.5.
        let ran = 61 * SECOND - (59 * SECOND + SECOND / 2);
        assert_eq!(done, Some(()));
        assert_eq!(
            (left, pauses.left(until)),
            (10 * SECOND - ran, 10 * SECOND - ran)
        );
        let done = pauses.within(&mut left, std::future::pending::<()>()).await;
        assert_eq!((done, left), (None, Duration::ZERO));
        assert_eq!(began.elapsed(), 69 * SECOND + SECOND / 2);
        assert_eq!(pauses.left(until), Duration::ZERO);
    }
}
