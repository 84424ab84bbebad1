//! The wish that a turn end early, from whoever has it to whatever is running.

use tokio::sync::watch;

/// Why a turn is to end early.
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
    /// The turn, or its output, was over, and it did not end.
    Lingering,
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
        }
    }
}

/// The end that is asked.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Option<StopCause>>);

/// The end that asks.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<StopCause>>);

/// A pair of them.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks; the first cause counts.
    pub fn request(&self, cause: StopCause) {
        self.0.send_if_modified(|asked| {
            let first = asked.is_none();
            asked.get_or_insert(cause);
            first
        });
    }
}

impl Stop {
    /// The cause, if the turn is to end.
    #[must_use]
    pub fn cause(&self) -> Option<StopCause> {
        *self.0.borrow()
    }

    /// Whether nobody wants the turn any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// Waits until the turn is to end. An asker that is gone can no longer want the turn.
    pub async fn requested(&mut self) -> StopCause {
        match self.0.wait_for(Option::is_some).await {
            Ok(cause) => (*cause).unwrap_or(StopCause::Cancelled),
            Err(_) => StopCause::Cancelled,
        }
    }
}
