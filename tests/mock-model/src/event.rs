//! The server-sent events of the Responses API, as far as codex reads them.

use serde_json::{Value, json};

/// The tokens that one response reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            input: 1200,
            cached: 1000,
            output: 34,
            reasoning: 7,
        }
    }
}

/// One event as it goes over the wire.
pub(super) fn sse(event: &Value) -> String {
    let name = event["type"].as_str().unwrap_or("message");
    format!("event: {name}\ndata: {event}\n\n")
}

pub(super) fn created(response: &str) -> Value {
    json!({ "type": "response.created", "response": { "id": response, "status": "in_progress" } })
}

/// The end of a response; `tokens` of None leaves `usage` out.
pub(super) fn completed(response: &str, tokens: Option<Tokens>) -> Value {
    let usage = tokens.map(|tokens| {
        json!({
            "input_tokens": tokens.input,
            "input_tokens_details": { "cached_tokens": tokens.cached },
            "output_tokens": tokens.output,
            "output_tokens_details": { "reasoning_tokens": tokens.reasoning },
            "total_tokens": tokens.input + tokens.output,
        })
    });
    json!({
        "type": "response.completed",
        "response": { "id": response, "status": "completed", "usage": usage },
    })
}

pub(super) fn incomplete(response: &str, reason: &str) -> Value {
    json!({
        "type": "response.incomplete",
        "response": {
            "id": response,
            "status": "incomplete",
            "incomplete_details": { "reason": reason },
        },
    })
}

pub(super) fn failed(response: &str, code: &str, message: &str) -> Value {
    json!({
        "type": "response.failed",
        "response": {
            "id": response,
            "status": "failed",
            "error": { "code": code, "message": message },
        },
    })
}

pub(super) fn item_done(item: &Value) -> Value {
    json!({ "type": "response.output_item.done", "output_index": 0, "item": item })
}

/// The announcement of a message, which is empty at that point.
pub(super) fn message_added(id: &str) -> Value {
    let item = json!({ "type": "message", "role": "assistant", "id": id, "content": [] });
    json!({ "type": "response.output_item.added", "output_index": 0, "item": item })
}

pub(super) fn text_delta(id: &str, delta: &str) -> Value {
    json!({
        "type": "response.output_text.delta",
        "item_id": id,
        "output_index": 0,
        "content_index": 0,
        "delta": delta,
    })
}

pub(super) fn message_done(id: &str, text: &str) -> Value {
    item_done(&json!({
        "type": "message",
        "role": "assistant",
        "id": id,
        "content": [{ "type": "output_text", "text": text, "annotations": [] }],
    }))
}

/// A whole message: announced, its text in one delta, done.
pub(super) fn message(id: &str, text: &str) -> [Value; 3] {
    [
        message_added(id),
        text_delta(id, text),
        message_done(id, text),
    ]
}

/// A whole reasoning item with a summary and nothing encrypted.
pub(super) fn reasoning(id: &str, summary: &str) -> Vec<Value> {
    reasoning_in_pieces(id, &[&[summary]])
}

/// The same, with a summary of several parts, each written in pieces.
pub(super) fn reasoning_in_pieces(id: &str, parts: &[&[&str]]) -> Vec<Value> {
    let mut events = vec![reasoning_added(id)];
    for (index, pieces) in parts.iter().enumerate() {
        events.push(summary_part_added(id, index));
        events.extend(pieces.iter().map(|piece| summary_delta(id, index, piece)));
    }
    let summary: Vec<Value> = parts
        .iter()
        .map(|pieces| json!({ "type": "summary_text", "text": pieces.concat() }))
        .collect();
    events.push(item_done(&reasoning_item(id, &summary)));
    events
}

fn reasoning_item(id: &str, summary: &[Value]) -> Value {
    json!({ "type": "reasoning", "id": id, "summary": summary })
}

/// The announcement of a reasoning item, which is empty at that point.
pub(super) fn reasoning_added(id: &str) -> Value {
    json!({
        "type": "response.output_item.added",
        "output_index": 0,
        "item": reasoning_item(id, &[]),
    })
}

pub(super) fn summary_part_added(id: &str, index: usize) -> Value {
    json!({
        "type": "response.reasoning_summary_part.added",
        "item_id": id,
        "output_index": 0,
        "summary_index": index,
        "part": { "type": "summary_text", "text": "" },
    })
}

pub(super) fn summary_delta(id: &str, index: usize, delta: &str) -> Value {
    json!({
        "type": "response.reasoning_summary_text.delta",
        "item_id": id,
        "output_index": 0,
        "summary_index": index,
        "delta": delta,
    })
}

pub(super) fn function_call(call: &str, name: &str, arguments: &Value) -> Value {
    json!({
        "type": "function_call",
        "id": format!("fc_{call}"),
        "call_id": call,
        "name": name,
        "arguments": arguments.to_string(),
    })
}
