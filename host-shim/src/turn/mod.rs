//! One turn, seen from outside.

pub mod close;
pub mod loaded;
pub mod open;
mod run;
mod sink;

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::codex::stop::{StopCause, Stopper, stop};
use crate::contract::event::{Event, FailureKind, StopReason};
use crate::contract::request::Request;

use loaded::Loaded;
use run::run;
use sink::{Sink, Waiting};

/// A turn under way: a stream of events, of which [`Event::MessageEnd`] is the last. Dropping it stops codex.
#[derive(Debug)]
pub struct Turn {
    events: mpsc::Receiver<Waiting>,
    stopper: Stopper,
    ended: bool,
}

impl Turn {
    /// The next event; `None` after [`Event::MessageEnd`]. May be dropped while it waits;
    /// nothing is lost.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = match ready!(self.events.poll_recv(context)) {
            Some(waiting) => waiting.0,
            None if self.ended => return Poll::Ready(None),
            // The task panicked, or its runtime was shut down.
            None => {
                let message = "The host lost the task that ran the turn; codex was stopped. If the runtime was not being shut down, report this with the host's log.";
                Event::failed(FailureKind::Internal, StopReason::Error, message.into())
            }
        };
        self.ended |= matches!(event, Event::MessageEnd { .. });
        Poll::Ready(Some(event))
    }

    /// Stops codex. The remaining events still come, and then a `MessageEnd` with `Aborted`; the conversation stays
    /// resumable.
    pub fn cancel(&self) {
        self.stopper.request(StopCause::Cancelled);
    }

    /// Suspends codex and all that it has started, and the clocks that wait for it (not that of the whole turn), until
    /// [`Turn::resume`]. A codex that is started meanwhile is suspended too. Returns when none is being started.
    pub async fn suspend(&self) {
        self.stopper.suspend(true);
        self.stopper.started().await;
    }

    /// Has codex go on.
    pub fn resume(&self) {
        self.stopper.suspend(false);
    }
}

impl Stream for Turn {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll(context)
    }
}

/// Starts the task that runs a turn; dropping the handle stops it.
pub(crate) fn begin(loaded: Loaded, workspace: PathBuf, request: Request) -> Turn {
    let (stopper, stop) = stop();
    let bounds = loaded.codex.bounds(stop);
    let meter = loaded
        .codex
        .counters()
        .turn(&workspace, request.model.as_deref());
    let grace = loaded.codex.grace();
    let (sink, events) = Sink::new(meter.clone(), bounds.clone(), grace);
    let span = meter.span().clone();
    let task = async move {
        run(&loaded, workspace, request, bounds, &meter, sink).await;
    };
    tokio::spawn(task.instrument(span));
    Turn {
        events,
        stopper,
        ended: false,
    }
}
