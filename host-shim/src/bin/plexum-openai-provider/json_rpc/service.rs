//! What answers a client.

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::error::RpcError;
use super::message::Id;
use super::outgoing::Outgoing;

/// What answers a client.
pub trait Service {
    /// The results of the methods.
    type Success: Serialize + Send + 'static;

    /// The params of the notifications that are sent.
    type Told: Serialize + Send + 'static;

    /// What to do about a line that is too long.
    const SHORTER_LINES: &'static str;

    /// Takes one call, at once. What takes time is answered later.
    fn take(
        &mut self,
        method: &str,
        params: Option<&RawValue>,
        reply: Reply<'_, Self::Success, Self::Told>,
    ) -> Taken<MessageOf<Self>>;

    /// Stops all work, and begins none from here on. The ends are still sent.
    fn cancel_all(&mut self);

    /// Whether no work is left: its ends have been sent, and no codex runs.
    fn is_idle(&self) -> bool;

    /// Waits until some work is over. May be dropped while it waits.
    fn some_is_over(&mut self) -> impl Future<Output = ()>;
}

/// What a service sends.
pub type MessageOf<S> = Outgoing<<S as Service>::Success, <S as Service>::Told>;

/// Room for one answer.
pub type Room<'a, S> = mpsc::Permit<'a, MessageOf<S>>;

/// What becomes of the connection.
pub enum Taken<M> {
    /// It goes on.
    GoesOn,
    /// It is to end, and then this is to be said.
    Ends(Option<M>),
}

/// The answer to a call. A notification has none.
pub struct Reply<'a, R, P> {
    id: Option<Id>,
    method: &'a str,
    room: mpsc::Permit<'a, Outgoing<R, P>>,
}

impl<'a, R, P> Reply<'a, R, P> {
    /// The answer to a call of this id, for which there is room.
    pub fn new(id: Option<Id>, method: &'a str, room: mpsc::Permit<'a, Outgoing<R, P>>) -> Self {
        Reply { id, method, room }
    }

    /// Answers now.
    pub fn now(self, outcome: Result<R, RpcError>) {
        match (self.id, outcome) {
            (Some(id), outcome) => self.room.send(Outgoing::answer(id, outcome)),
            (None, Ok(_)) => {}
            (None, Err(error)) => {
                let (method, error) = (self.method, error.message);
                tracing::warn!(method, error, "a notification had no effect");
            }
        }
    }

    /// Where the answer goes that is given later; nowhere if this is a notification.
    pub fn later(self) -> Option<Id> {
        self.id
    }

    /// Where the answer goes; nowhere if this is a notification.
    pub fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }
}
