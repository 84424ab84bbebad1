//! The refusals: what a server says instead of answering.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::reply::{Refusal, Reply};

/// The text with which the real server refuses a model, which callers are known to look for.
const MODEL_TEXT: &str =
    "The 'gpt-5-codex' model is not supported when using Codex with a ChatGPT account.";

/// How far ahead the usage limit of [`usage_limit`] is lifted.
const LIMIT_RESETS_IN: Duration = Duration::from_secs(3600);

/// A refusal with the body of an OpenAI error object.
pub(super) fn status(status: u16, kind: &str, message: &str) -> Reply {
    body(status, &error(json!({ "type": kind, "message": message })))
}

/// 429, with the seconds to wait in a header.
pub(super) fn retry_after(seconds: u32) -> Reply {
    let body = error(json!({ "type": "rate_limit_error", "message": "too many requests" }));
    Reply::Refusal(Refusal {
        status: 429,
        retry_after: Some(seconds),
        body: body.to_string(),
    })
}

/// The model is not for this account, as an error object.
pub(super) fn model() -> Reply {
    status(400, "invalid_request_error", MODEL_TEXT)
}

/// The same in the other shape that servers use.
pub(super) fn model_as_detail() -> Reply {
    body(400, &json!({ "detail": MODEL_TEXT }))
}

/// The model does not exist. 0.169 takes the code for final, older ones retry.
pub(super) fn no_such_model() -> Reply {
    let error = error(json!({
        "type": "invalid_request_error",
        "code": "model_not_found",
        "message": "The model `gpt-5.5` does not exist or you do not have access to it.",
    }));
    body(404, &error)
}

/// A refusal whose body is not JSON.
pub(super) fn plain(status: u16, text: &str) -> Reply {
    Reply::Refusal(Refusal {
        status,
        retry_after: None,
        body: text.to_owned(),
    })
}

/// The plan's usage limit is reached.
pub(super) fn usage_limit() -> Reply {
    let resets_at = (SystemTime::now() + LIMIT_RESETS_IN)
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_secs();
    let limit = json!({
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "plus",
        "resets_at": resets_at,
        "resets_in_seconds": LIMIT_RESETS_IN.as_secs(),
    });
    body(429, &error(limit))
}

fn error(error: Value) -> Value {
    json!({ "error": error })
}

fn body(status: u16, body: &Value) -> Reply {
    plain(status, &body.to_string())
}
