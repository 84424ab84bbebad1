//! The way of a turn's events to the caller, and how much may wait on it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::contract::event::Event;
use crate::telemetry::metrics::Meter;

/// How many events may wait for the caller before the component waits too, and with it codex.
const WAITING_EVENTS: usize = 64;

/// How much memory they may take. A larger event waits alone.
const WAITING_BYTES: u32 = 1024 * 1024;

/// An event that waits, and its share of what may.
pub(super) type Waiting = (Event, OwnedSemaphorePermit);

/// Passes events on until the end, and nothing after it.
pub(super) struct Sink {
    sender: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    meter: Meter,
    deadline: Instant,
    ended: bool,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The caller has it, or it waits for the caller.
    Taken,
    /// Nobody listens any more, or the turn is over.
    Unwanted,
    /// The caller has taken no event for so long that the turn's time is over.
    TooLate,
}

impl Sink {
    /// One for a turn that must be over at `deadline`, and the other end of it.
    pub fn new(meter: Meter, deadline: Instant) -> (Self, mpsc::Receiver<Waiting>) {
        let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
        let sink = Sink {
            sender,
            room: Arc::new(Semaphore::new(WAITING_BYTES as usize)),
            meter,
            deadline,
            ended: false,
        };
        (sink, receiver)
    }

    /// Whether the end has been passed on.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Passes an event on that takes so much memory. Waits until there is room for it.
    pub async fn send(&mut self, event: Event, bytes: usize) -> Sent {
        let is_end = matches!(event, Event::MessageEnd { .. });
        let passed = tokio::select! {
            biased;
            passed = self.pass(event, bytes) => passed,
            () = self.sender.closed() => return Sent::Unwanted,
            () = tokio::time::sleep_until(self.deadline) => return Sent::TooLate,
        };
        self.ended |= is_end && passed == Sent::Taken;
        passed
    }

    /// Passes the end on, however long that takes.
    pub async fn send_end(&mut self, end: Event) {
        tokio::select! {
            _ = self.pass(end, 0) => {}
            // Nobody wants to know.
            () = self.sender.closed() => {}
        }
        self.ended = true;
    }

    async fn pass(&self, event: Event, bytes: usize) -> Sent {
        if self.ended {
            tracing::warn!("the component sent an event after the end of the turn; it is left out");
            return Sent::Unwanted;
        }
        let share = u32::try_from(bytes).unwrap_or(u32::MAX).min(WAITING_BYTES);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(share).await else {
            return Sent::Unwanted;
        };
        let Ok(place) = self.sender.reserve().await else {
            return Sent::Unwanted;
        };
        self.meter.event(&event);
        place.send((event, room));
        Sent::Taken
    }
}
