//! Why a message is not answered with a result.

use serde::Serialize;
use serde_json::{Value, json};

use super::line::MAX_LINE_BYTES;

/// The line is not JSON. Of JSON-RPC, like the next three.
const PARSE_ERROR: i32 = -32700;
/// It is JSON but not a request, or not a request that is valid now.
pub const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
pub const INVALID_PARAMS: i32 = -32602;
/// The line was too long, and was not read.
const LINE_TOO_LONG: i32 = -32004;

/// How much of a message of an error is sent: it may hold what the client sent, which may be megabytes.
const MAX_MESSAGE_CHARS: usize = 1000;

/// The `error` of an answer. Decide by the code, never by the text.
#[derive(Debug, PartialEq, Serialize)]
pub struct RpcError {
    pub code: i32,
    /// What happened, and what to do next.
    pub message: String,
    /// The same for programs, where there is more to it than the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// An error of this code. A message that is too long is cut off.
    pub fn new(code: i32, message: &str, data: Option<Value>) -> Self {
        RpcError {
            code,
            message: shortened(message),
            data,
        }
    }

    /// The line is not JSON.
    pub fn parse_error(problem: &str) -> Self {
        let message = format!("parse error: {problem}; send one JSON object a line, in UTF-8");
        Self::new(PARSE_ERROR, &message, None)
    }

    /// The line holds JSON that cannot be answered.
    pub fn invalid_request(problem: &str) -> Self {
        Self::new(
            INVALID_REQUEST,
            &format!("invalid request: {problem}"),
            None,
        )
    }

    /// There is no such method; `known` lists the methods.
    pub fn method_not_found(method: &str, known: &[&str]) -> Self {
        let message = format!(
            "there is no method `{}`; the methods are {}",
            shortened(method),
            known.join(", ")
        );
        Self::new(METHOD_NOT_FOUND, &message, None)
    }

    /// A member of `params` is wrong; `field` is its path, such as `messages[0].role`.
    pub fn invalid_params(field: &str, problem: &str) -> Self {
        let message = format!("invalid params: `{}`: {problem}", shortened(field));
        let data = json!({ "field": shortened(field) });
        Self::new(INVALID_PARAMS, &message, Some(data))
    }

    /// The line was skipped unread; `remedy` says how to send less.
    pub fn line_too_long(bytes: u64, remedy: &str) -> Self {
        let message = format!(
            "a line of {bytes} bytes was skipped: the limit is {MAX_LINE_BYTES} bytes; {remedy}"
        );
        let data = json!({ "bytes": bytes, "maxBytes": MAX_LINE_BYTES });
        Self::new(LINE_TOO_LONG, &message, Some(data))
    }
}

/// A text that is not too long.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
