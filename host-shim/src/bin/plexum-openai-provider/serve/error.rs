//! The errors that only this protocol has.

use serde_json::json;

use crate::json_rpc::error::{INVALID_PARAMS, RpcError, shortened};

/// LSP's code for a request before `initialize`.
const NOT_INITIALIZED: i32 = -32002;
/// No turn of that id is open.
const UNKNOWN_TURN: i32 = -32003;

/// What to do about a line that is too long.
pub const SHORTER_LINES: &str = "pass large images by their path";

/// `initialize` asked for a version of the protocol that does not exist.
pub fn unsupported_version(requested: u64, supported: u64) -> RpcError {
    let message = format!(
        "invalid params: `protocolVersion`: version {requested} of the protocol is not supported; ask for {supported}"
    );
    let data = json!({ "field": "protocolVersion", "supported": [supported] });
    RpcError::new(INVALID_PARAMS, &message, Some(data))
}

/// `initialize` has to come first.
pub fn not_initialized() -> RpcError {
    let message = "not initialized: send `initialize` first, and wait for its answer";
    RpcError::new(NOT_INITIALIZED, message, None)
}

/// There is no such turn, or it has ended.
pub fn unknown_turn(turn_id: &str) -> RpcError {
    let message = format!(
        "no turn `{}` is open: it has ended, or never existed",
        shortened(turn_id)
    );
    RpcError::new(UNKNOWN_TURN, &message, None)
}
