//! The messages of JSON-RPC 2.0, as they go.

use plexum_openai_provider::Event;
use serde::Serialize;

use super::error::RpcError;
use super::message::Id;
use super::success::Success;

/// What the server sends.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outgoing {
    /// An answer.
    Success {
        jsonrpc: Version,
        id: Id,
        result: Success,
    },
    /// An answer too.
    Failure {
        jsonrpc: Version,
        id: Id,
        error: RpcError,
    },
    /// Something that happened in a turn.
    TurnEvent {
        jsonrpc: Version,
        method: TurnEventMethod,
        params: TurnEvent,
    },
}

/// The version of JSON-RPC.
#[derive(Debug, Serialize)]
pub enum Version {
    #[serde(rename = "2.0")]
    V2,
}

/// The method of the one notification that the server sends.
#[derive(Debug, Serialize)]
pub enum TurnEventMethod {
    #[serde(rename = "turn/event")]
    TurnEvent,
}

/// The params of a `turn/event`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnEvent {
    pub turn_id: String,
    /// As `say --json` prints it.
    pub event: Event,
}

impl Outgoing {
    /// The answer to a request.
    pub fn answer(id: Id, outcome: Result<Success, RpcError>) -> Self {
        let jsonrpc = Version::V2;
        match outcome {
            Ok(result) => Outgoing::Success {
                jsonrpc,
                id,
                result,
            },
            Err(error) => Outgoing::Failure { jsonrpc, id, error },
        }
    }

    /// The notification of an event.
    pub fn turn_event(turn_id: &str, event: Event) -> Self {
        Outgoing::TurnEvent {
            jsonrpc: Version::V2,
            method: TurnEventMethod::TurnEvent,
            params: TurnEvent {
                turn_id: turn_id.to_owned(),
                event,
            },
        }
    }
}
