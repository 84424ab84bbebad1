//! The turns under way.

use std::collections::HashMap;

use plexum_openai_provider::{Event, Failure, FailureKind, Provider, StopReason, Turn};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::message::{Message, turn_event};
use super::method::TurnStart;

/// Runs turns and sends their events.
pub struct Turns {
    provider: Provider,
    events: mpsc::Sender<Message>,
    /// How to cancel a turn, by its id. Closed when the turn has ended.
    open: HashMap<String, watch::Sender<bool>>,
    tasks: JoinSet<()>,
    /// How many turns have begun.
    count: u64,
}

impl Turns {
    /// Makes turns with `provider`, and sends what happens in them to `events`.
    pub fn new(provider: Provider, events: mpsc::Sender<Message>) -> Self {
        Turns {
            provider,
            events,
            open: HashMap::new(),
            tasks: JoinSet::new(),
            count: 0,
        }
    }

    /// An id for the next turn. Ids are unique in one server process.
    pub fn next_id(&mut self) -> String {
        self.count += 1;
        format!("turn-{}", self.count)
    }

    /// Begins a turn.
    pub fn begin(&mut self, id: String, start: TurnStart) {
        let turn = self.provider.turn(start.workspace, start.request);
        let (canceller, cancelled) = watch::channel(false);
        self.tasks
            .spawn(follow(turn, id.clone(), self.events.clone(), cancelled));
        self.open.insert(id, canceller);
    }

    /// Stops a turn; its end still comes. Returns whether it was open, which it is not once the client may have seen
    /// its end.
    pub fn cancel(&self, id: &str) -> bool {
        let turn = self.open.get(id);
        turn.is_some_and(|canceller| canceller.send(true).is_ok())
    }

    /// Stops all turns.
    pub fn cancel_all(&self) {
        for id in self.open.keys() {
            self.cancel(id);
        }
    }

    /// Whether none is left: their ends have been sent, and no codex runs.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until one is over.
    pub async fn one_over(&mut self) {
        if let Some(Err(error)) = self.tasks.join_next().await {
            tracing::error!(%error, "a turn was lost: report this");
        }
        self.open.retain(|_, canceller| !canceller.is_closed());
    }
}

/// Sends the events of a turn as fast as the client takes them, and stops the turn on request. Returns when
/// the turn is over and codex is gone, even if the client is gone too.
async fn follow(
    mut turn: Turn,
    id: String,
    events: mpsc::Sender<Message>,
    cancelled: watch::Receiver<bool>,
) {
    // Dropped before the end is sent: from then on there is nothing to cancel.
    let mut cancelled = Some(cancelled);
    let mut stopping = false;
    let mut waiting = None;
    loop {
        tokio::select! {
            () = asked(cancelled.as_mut()), if !stopping => {
                stopping = true;
                turn.cancel();
            }
            event = turn.next(), if waiting.is_none() => {
                let event = match event {
                    Some(event) => event,
                    None if cancelled.is_none() => return,
                    None => unsaid_end(),
                };
                if matches!(event, Event::MessageEnd { .. }) {
                    cancelled = None;
                }
                waiting = Some(turn_event(&id, event));
            }
            room = events.reserve(), if waiting.is_some() => match (room, waiting.take()) {
                (Ok(room), Some(event)) => room.send(event),
                (Ok(_), None) => {}
                // The client is gone. The turn is still awaited, so that codex shuts down cleanly.
                (Err(_), _) => turn.cancel(),
            }
        }
    }
}

/// Waits until the turn is cancelled; forever if it can no longer be.
async fn asked(cancelled: Option<&mut watch::Receiver<bool>>) {
    match cancelled {
        // Without a server, the turn is no longer wanted.
        Some(cancelled) => drop(cancelled.wait_for(|cancelled| *cancelled).await),
        None => std::future::pending().await,
    }
}

/// The end of a turn that was lost, so that the client does not wait forever.
fn unsaid_end() -> Event {
    let message = "The turn ended without a result: report this, with the server's log.";
    Event::end_with(
        StopReason::Error,
        Failure::new(FailureKind::Internal, message),
    )
}
