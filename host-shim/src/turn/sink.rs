//! Passes a turn's events to the caller, and bounds how much may wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::codex::stop::{Bounds, StopCause};
use crate::contract::event::Event;
use crate::telemetry::metrics::Meter;

/// How many events may wait for the caller before the component waits too, and with it codex.
const WAITING_EVENTS: usize = 64;

/// How much memory they may take. A larger event waits alone.
const WAITING_BYTES: u32 = 1024 * 1024;

/// A waiting event, and its share of [`WAITING_BYTES`]. Boxed, because the channel has room for 32 of them at once, which an
/// open turn that says nothing would take up.
pub(super) type Waiting = Box<(Event, OwnedSemaphorePermit)>;

/// Passes events on. Nothing comes after the end.
pub(super) struct Sink {
    way: Way,
    bounds: Bounds,
    /// How long to wait for a caller that takes no events once the turn must end.
    grace: Duration,
}

/// The way to the caller.
struct Way {
    sender: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    meter: Meter,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The caller has it, or it waits for the caller.
    Taken,
    /// The caller is gone, or the turn is over.
    Unwanted,
    /// The turn had to end for this cause, and the caller takes no events.
    TooLate(StopCause),
}

impl Sink {
    /// A sink for a turn, and its receiving end.
    pub fn new(meter: Meter, bounds: Bounds, grace: Duration) -> (Self, mpsc::Receiver<Waiting>) {
        let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
        let sink = Sink {
            way: Way {
                sender,
                room: Arc::new(Semaphore::new(WAITING_BYTES as usize)),
                meter,
            },
            bounds,
            grace,
        };
        (sink, receiver)
    }

    /// Passes on an event that takes this much memory. Waits until there is room for it; once the turn must end, no
    /// longer than the grace period.
    pub async fn send(&mut self, event: Event, bytes: usize) -> Sent {
        let passed = self.way.pass(event, bytes);
        let passed = self.bounds.within_grace(self.grace, passed).await;
        passed.unwrap_or_else(Sent::TooLate)
    }

    /// Passes the end on, however long that takes.
    pub async fn send_end(self, end: Event) {
        self.way.pass(end, 0).await;
    }
}

impl Way {
    /// Passes an event on, unless the caller is gone.
    async fn pass(&self, event: Event, bytes: usize) -> Sent {
        tokio::select! {
            biased;
            sent = self.send(event, bytes) => sent,
            () = self.sender.closed() => Sent::Unwanted,
        }
    }

    async fn send(&self, event: Event, bytes: usize) -> Sent {
        let room = Arc::clone(&self.room).acquire_many_owned(share(bytes));
        let Ok(room) = room.await else {
            return Sent::Unwanted;
        };
        let Ok(place) = self.sender.reserve().await else {
            return Sent::Unwanted;
        };
        self.meter.event(&event);
        place.send(Box::new((event, room)));
        Sent::Taken
    }
}

/// The share of [`WAITING_BYTES`] that an event of this size takes.
fn share(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).min(WAITING_BYTES)
}
