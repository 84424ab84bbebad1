//! The messages of JSON-RPC 2.0, as they go.

use serde::Serialize;

use super::error::RpcError;
use super::message::Id;

/// What this program sends: `R` is the result of a method, `P` the params of a notification.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outgoing<R, P> {
    /// An answer.
    Success { jsonrpc: Version, id: Id, result: R },
    /// An answer too.
    Failure {
        jsonrpc: Version,
        id: Id,
        error: RpcError,
    },
    /// Something that happened.
    Notification {
        jsonrpc: Version,
        method: &'static str,
        params: P,
    },
}

/// The version of JSON-RPC.
#[derive(Debug, Serialize)]
pub enum Version {
    #[serde(rename = "2.0")]
    V2,
}

impl<R, P> Outgoing<R, P> {
    /// The answer to a request.
    pub fn answer(id: Id, outcome: Result<R, RpcError>) -> Self {
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

    /// A notification.
    pub fn notification(method: &'static str, params: P) -> Self {
        Outgoing::Notification {
            jsonrpc: Version::V2,
            method,
            params,
        }
    }
}
