//! The errors that only this protocol has, and what becomes of the failure of a turn.

use plexum_openai_provider::{Failure, FailureKind, SessionError, SessionErrorKind};
use serde_json::{Map, Value, json};

use crate::json_rpc::error::{INVALID_PARAMS, INVALID_REQUEST, RpcError, shortened};

/// The service wants somebody to log in.
const AUTHENTICATION_REQUIRED: i32 = -32000;
/// There is no such session.
const RESOURCE_NOT_FOUND: i32 = -32002;
/// What happened is in the message. Some clients repeat a request that is answered so.
const INTERNAL_ERROR: i32 = -32603;
/// Somebody has to do what the message says, or ask for something else: the same request would fail again. Of this agent.
const IN_VAIN: i32 = -32050;

/// What to do about a line that is too long.
pub const SHORTER_LINES: &str = "send smaller images, or fewer";

/// `initialize` has to come first.
pub fn not_initialized() -> RpcError {
    let message = "not initialized: send `initialize` first, and wait for its answer";
    RpcError::new(INVALID_REQUEST, message, None)
}

/// No session of this id is open here.
pub fn unknown_session(id: &str) -> RpcError {
    let message = format!(
        "no session `{}` is open: open it with `session/resume`, or begin one with `session/new`",
        shortened(id)
    );
    RpcError::new(RESOURCE_NOT_FOUND, &message, None)
}

/// Something failed for which the client can do nothing.
pub fn internal(message: &str) -> RpcError {
    RpcError::new(INTERNAL_ERROR, message, None)
}

/// Something on this machine has to be put right first.
pub fn in_vain(message: &str) -> RpcError {
    RpcError::new(IN_VAIN, message, None)
}

/// The agent has too much to do: a client that does not read, or does not wait.
pub fn too_much(message: &str) -> RpcError {
    let data = json!({ "retryable": true });
    RpcError::new(INTERNAL_ERROR, message, Some(data))
}

/// The agent is about to end.
pub fn ending() -> RpcError {
    RpcError::new(
        INVALID_REQUEST,
        "the agent is about to end: start it again",
        None,
    )
}

/// A session that cannot be made, found or listed.
pub fn of_store(error: &SessionError) -> RpcError {
    let code = match error.kind {
        SessionErrorKind::Lost => RESOURCE_NOT_FOUND,
        SessionErrorKind::Denied => INVALID_PARAMS,
        SessionErrorKind::Busy | SessionErrorKind::Moved | SessionErrorKind::Unavailable => {
            INTERNAL_ERROR
        }
        _ => IN_VAIN,
    };
    RpcError::new(code, &error.message, None)
}

/// The failure of a turn: what happened and what to do, for a person, and the same for a program in `data`.
pub fn of_turn(failure: Failure) -> RpcError {
    let Failure {
        kind,
        message,
        retryable,
        retry_after_ms,
        detail,
        ..
    } = failure;
    let code = match kind {
        FailureKind::Auth => AUTHENTICATION_REQUIRED,
        FailureKind::SessionLost => RESOURCE_NOT_FOUND,
        FailureKind::InvalidRequest
        | FailureKind::PromptTooLarge
        | FailureKind::ModelUnsupported => INVALID_PARAMS,
        _ if retryable => INTERNAL_ERROR,
        // Ours to put right.
        FailureKind::Internal => INTERNAL_ERROR,
        _ => IN_VAIN,
    };
    let mut data = Map::new();
    data.insert("kind".to_owned(), json!(kind));
    data.insert("retryable".to_owned(), json!(retryable));
    if let Some(milliseconds) = retry_after_ms {
        data.insert("retryAfterMs".to_owned(), json!(milliseconds));
    }
    // Not `details`, which some clients show in the place of the message.
    if let Some(detail) = detail {
        data.insert("detail".to_owned(), json!(shortened(&detail)));
    }
    // By this, some clients tell that somebody has to log in.
    if kind == FailureKind::Auth {
        data.insert("authRequired".to_owned(), json!(true));
    }
    let name = json!(kind);
    let name = name.as_str().unwrap_or_default();
    RpcError {
        code,
        // Its end is always there.
        message: format!("{} ({name})", shortened(&message)),
        data: Some(Value::Object(data)),
    }
}
