//! The clock that leases are kept by: it goes on while the machine sleeps, as that of the store does.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often a wait looks at the clock: timers do not go on while the machine sleeps.
const LOOK: Duration = Duration::from_millis(250);

/// A moment of this machine's time since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The present one.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
        Moment(Duration::new(seconds, nanoseconds))
    }

    /// The one so much later.
    pub fn after(self, duration: Duration) -> Self {
        Moment(self.0.saturating_add(duration))
    }

    /// How long ago it was; zero if it is to come.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// How long it is until then; zero if it was.
    pub fn left(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    /// Waits for it.
    pub async fn come(self) {
        loop {
            let left = self.left();
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_moment_comes_and_is_then_over() {
        let wait = Duration::from_millis(20);
        let moment = Moment::now().after(wait);
        assert!(moment.left() <= wait && moment.elapsed().is_zero());
        moment.come().await;
        assert!(moment.left().is_zero() && moment <= Moment::now());
    }
}
