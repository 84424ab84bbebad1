//! A request to end a turn early, passed from the caller to everything that is running.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::pauses::Pauses;

/// Why a turn should end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// The caller cancelled or dropped the turn.
    Cancelled,
    /// The component asked for it.
    Terminated,
    /// No line within the start-up time.
    StartTimeout,
    /// No line for too long.
    IdleTimeout,
    /// The turn took longer than allowed.
    TurnTimeout,
    /// It printed more than allowed.
    OutputLimit,
    /// The turn, or its output, was over, and codex did not exit.
    Lingering,
    /// Others may have the conversation.
    SessionLost,
}

impl StopCause {
    /// The cause as the record shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StopCause::Cancelled => "cancelled",
            StopCause::Terminated => "terminated",
            StopCause::StartTimeout => "start_timeout",
            StopCause::IdleTimeout => "idle_timeout",
            StopCause::TurnTimeout => "turn_timeout",
            StopCause::OutputLimit => "output_limit",
            StopCause::Lingering => "lingering",
            StopCause::SessionLost => "session_lost",
        }
    }
}

/// The receiving end of the request.
#[derive(Debug, Clone)]
pub struct Stop {
    asked: watch::Receiver<Option<StopCause>>,
    suspended: watch::Receiver<bool>,
    /// Whether the turn has lost its conversation.
    lost: watch::Sender<bool>,
    /// How many codexes are being started, which nobody can suspend yet.
    starting: watch::Sender<usize>,
    /// The time that is charged to nobody in this turn.
    pub pauses: Arc<Pauses>,
}

/// The sending end of the request.
#[derive(Debug)]
pub struct Stopper {
    asked: watch::Sender<Option<StopCause>>,
    suspended: watch::Sender<bool>,
    starting: watch::Receiver<usize>,
}

/// A codex is being started while this is held.
pub struct Starting(watch::Sender<usize>);

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.send_modify(|starting| *starting -= 1);
    }
}

/// A pair of them.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (asks, asked) = watch::channel(None);
    let (suspends, suspended) = watch::channel(false);
    let (starting, started) = watch::channel(0);
    let stopper = Stopper {
        asked: asks,
        suspended: suspends,
        starting: started,
    };
    let stop = Stop {
        asked,
        suspended,
        lost: watch::Sender::default(),
        starting,
        pauses: Arc::default(),
    };
    (stopper, stop)
}

impl Stopper {
    /// Sends the request; the first cause counts.
    pub fn request(&self, cause: StopCause) {
        self.asked.send_if_modified(|asked| {
            let first = asked.is_none();
            asked.get_or_insert(cause);
            first
        });
    }

    /// Asks to suspend codex, or to have it go on.
    pub fn suspend(&self, suspended: bool) {
        self.suspended.send_replace(suspended);
    }

    /// Waits until no codex is being started: each then hears of a suspension.
    pub async fn started(&self) {
        let mut starting = self.starting.clone();
        // If the turn is over, there is none.
        let _over = starting.wait_for(|starting| *starting == 0).await;
    }
}

impl Stop {
    /// The cause, if the turn should end. A dropped [`Stopper`] counts as a cancel.
    #[must_use]
    pub fn cause(&self) -> Option<StopCause> {
        let abandoned = || self.is_abandoned().then_some(StopCause::Cancelled);
        let lost = || self.lost.borrow().then_some(StopCause::SessionLost);
        let asked = *self.asked.borrow();
        asked.or_else(lost).or_else(abandoned)
    }

    /// Asks for the end of the turn, because others may have its conversation.
    pub fn lose_session(&self) {
        self.lost.send_replace(true);
    }

    /// Whether the turn was dropped.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.asked.has_changed().is_err()
    }

    /// Notes that a codex is being started.
    pub fn starting(&self) -> Starting {
        self.starting.send_modify(|starting| *starting += 1);
        Starting(self.starting.clone())
    }

    /// Waits until codex is to be suspended, or to go on, which it returns.
    pub async fn suspension(&mut self) -> bool {
        match self.suspended.changed().await {
            Ok(()) => *self.suspended.borrow_and_update(),
            // Nobody can ask for it any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until the turn should end; see [`Stop::cause`].
    pub async fn requested(&mut self) -> StopCause {
        let mut lost = self.lost.subscribe();
        tokio::select! {
            biased;
            asked = self.asked.wait_for(Option::is_some) => match asked {
                Ok(cause) => (*cause).unwrap_or(StopCause::Cancelled),
                Err(_) => StopCause::Cancelled,
            },
            // The sender is this one's own.
            _ = lost.wait_for(|lost| *lost) => StopCause::SessionLost,
        }
    }
}

/// What bounds every wait of a turn: a request to stop, and the deadline.
///
/// **Invariant:** every await of a trait that an embedder may implement (store, spawner), of a file system or of the
/// caller is inside [`Bounds::within`] or [`Bounds::within_grace`]. Otherwise whatever hangs there would keep the turn
/// from ending.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The request to end the turn.
    pub stop: Stop,
    /// When the turn must be over, pauses not counted.
    pub deadline: Instant,
}

impl Bounds {
    /// Waits until the turn must end, and returns why.
    pub async fn over(&mut self) -> StopCause {
        let pauses = Arc::clone(&self.stop.pauses);
        tokio::select! {
            biased;
            cause = self.stop.requested() => cause,
            () = pauses.sleep_until(self.deadline) => StopCause::TurnTimeout,
        }
    }

    /// Does `work`, or abandons it when the turn must end. If the turn must end already, `work` is not begun.
    pub async fn within<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StopCause> {
        tokio::select! {
            biased;
            cause = self.over() => Err(cause),
            done = work => Ok(done),
        }
    }

    /// The same for work that should be finished, such as saving the conversation: when the turn must end, `work` still
    /// has `grace`.
    pub async fn within_grace<T>(
        &mut self,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, StopCause> {
        let out_of_grace = async {
            let cause = self.over().await;
            self.stop.pauses.sleep(grace).await;
            cause
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            cause = out_of_grace => Err(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn bounds() -> (Stopper, Bounds) {
        let (stopper, stop) = stop();
        let deadline = Instant::now() + Duration::from_secs(60);
        (stopper, Bounds { stop, deadline })
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_its_work_the_request_the_asker_or_the_deadline() {
        let (stopper, mut bounds) = bounds();
        assert_eq!(bounds.within(ready(1)).await, Ok(1));
        assert_eq!(
            bounds.within(pending::<()>()).await,
            Err(StopCause::TurnTimeout)
        );
        bounds.deadline += Duration::from_secs(60);
        assert_eq!(bounds.stop.cause(), None);
        let asked = async {
            stopper.request(StopCause::Terminated);
            stopper
        };
        let (outcome, stopper) = tokio::join!(bounds.within(pending::<()>()), asked);
        assert_eq!(outcome, Err(StopCause::Terminated));
        drop(stopper);
        assert_eq!(bounds.stop.cause(), Some(StopCause::Terminated));
    }

    #[tokio::test(start_paused = true)]
    async fn a_codex_that_is_being_started_hears_of_a_suspension() {
        let (stopper, bounds) = bounds();
        let starting = [bounds.stop.starting(), bounds.clone().stop.starting()];
        stopper.suspend(true);
        for starting in starting {
            let soon = tokio::time::timeout(Duration::from_secs(1), stopper.started());
            assert!(soon.await.is_err(), "one is still being started");
            drop(starting);
        }
        stopper.started().await;
        let mut started = bounds.clone();
        assert!(started.stop.suspension().await);
        stopper.suspend(false);
        assert!(!started.stop.suspension().await);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_for_a_turn_that_was_dropped() {
        let (stopper, mut bounds) = bounds();
        drop(stopper);
        assert_eq!(bounds.stop.cause(), Some(StopCause::Cancelled));
        for _ in 0..20 {
            assert_eq!(bounds.within(ready(())).await, Err(StopCause::Cancelled));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_should_be_finished_has_the_grace_period() {
        let (stopper, mut bounds) = bounds();
        stopper.request(StopCause::Cancelled);
        let grace = Duration::from_secs(3);
        let work = tokio::time::sleep(grace / 2);
        assert_eq!(bounds.within_grace(grace, work).await, Ok(()));
        let began = Instant::now();
        let hangs = bounds.within_grace(grace, pending::<()>()).await;
        assert_eq!((hangs, began.elapsed()), (Err(StopCause::Cancelled), grace));
    }
}
