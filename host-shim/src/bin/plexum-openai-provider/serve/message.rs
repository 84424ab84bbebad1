//! What the server sends.

use plexum_openai_provider::Event;
use serde::Serialize;

use super::success::Success;
use crate::json_rpc::outgoing::Outgoing;

/// What the server sends: answers, and what happens in turns.
pub type Message = Outgoing<Success, TurnEvent>;

/// The params of a `turn/event`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnEvent {
    pub turn_id: String,
    /// As `say --json` prints it.
    pub event: Event,
}

/// The notification of an event.
pub fn turn_event(turn_id: &str, event: Event) -> Message {
    let turn_id = turn_id.to_owned();
    Outgoing::notification("turn/event", TurnEvent { turn_id, event })
}
