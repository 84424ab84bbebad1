//! What a side is told, and what it says: one JSON text a line.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// The notifications that this project does without, and so does the direct client.
const NOT_WANTED: [&str; 9] = [
    "account/rateLimits/updated",
    "item/reasoning/textDelta",
    "mcpServer/startupStatus/updated",
    "remoteControl/status/changed",
    "skills/changed",
    "thread/goal/cleared",
    "thread/goal/updated",
    "thread/status/changed",
    "turn/diff/updated",
];

/// The language of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `codex app-server` itself, one process a folder. It is told what this project's host tells it.
    AppServer,
    /// `plexum-openai-provider serve`.
    Serve,
    /// The Agent Client Protocol.
    Acp,
    /// `node/side.mjs`, which no client has to introduce itself to.
    Orders,
}

/// What a line of a side says of the turn that runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    Piece(String),
    End,
}

impl Dialect {
    /// What a process is told first. Its answer has the id 1.
    pub fn greeting(self) -> Option<Value> {
        let params = match self {
            Dialect::AppServer => json!({
                "clientInfo": { "name": "bench-peers", "title": "bench-peers", "version": "0.1.0" },
                "capabilities": { "optOutNotificationMethods": NOT_WANTED },
            }),
            Dialect::Serve => json!({ "protocolVersion": 1 }),
            Dialect::Acp => json!({ "protocolVersion": 1, "clientCapabilities": {} }),
            Dialect::Orders => return None,
        };
        Some(request(1, "initialize", params))
    }

    /// What opens a conversation in a folder, if that is not the first turn in it.
    pub fn opening(self, id: u64, folder: &Path) -> Option<Value> {
        match self {
            // It was started in the folder.
            Dialect::AppServer => {
                let params = json!({ "sandbox": "danger-full-access", "approvalPolicy": "never" });
                Some(request(id, "thread/start", params))
            }
            Dialect::Acp => {
                let params = json!({ "cwd": folder, "mcpServers": [] });
                Some(request(id, "session/new", params))
            }
            Dialect::Serve | Dialect::Orders => None,
        }
    }

    /// The name of the conversation, from the answer to [`Dialect::opening`].
    pub fn opened(self, answer: &Value) -> anyhow::Result<String> {
        let result = &answer["result"];
        let name = match self {
            Dialect::AppServer => &result["thread"]["id"],
            _ => &result["sessionId"],
        };
        let name = name
            .as_str()
            .with_context(|| format!("no conversation in {answer}"))?;
        Ok(name.to_owned())
    }

    /// What begins a turn.
    pub fn turn(self, id: u64, folder: &Path, conversation: &str, prompt: &str) -> Value {
        let text = json!([{ "type": "text", "text": prompt }]);
        match self {
            Dialect::AppServer => {
                let params = json!({ "threadId": conversation, "input": text });
                request(id, "turn/start", params)
            }
            Dialect::Serve => request(
                id,
                "turn/start",
                json!({ "workspace": folder, "prompt": prompt }),
            ),
            Dialect::Acp => {
                let params = json!({ "sessionId": conversation, "prompt": text });
                request(id, "session/prompt", params)
            }
            Dialect::Orders => json!({ "folder": folder, "prompt": prompt }),
        }
    }

    /// The name by which a side's lines tell a turn from others of its process, from the answer to what has begun it.
    pub fn begun(self, answer: &Value) -> Option<String> {
        let name = answer["result"]["turnId"].as_str();
        name.filter(|_| self == Dialect::Serve).map(str::to_owned)
    }

    /// Whether a line is about a turn: the one that was begun with `id`, in this conversation, and has this name.
    pub fn concerns(self, id: u64, conversation: &str, name: Option<&str>, line: &Value) -> bool {
        let params = &line["params"];
        match self {
            Dialect::Serve => line["id"] == id || name.is_some_and(|name| params["turnId"] == name),
            Dialect::Acp => line["id"] == id || params["sessionId"] == conversation,
            // There is no other.
            Dialect::AppServer | Dialect::Orders => true,
        }
    }

    /// Reads a line of the turn that was begun with `id`. An error if it says that the turn has failed.
    pub fn heard(self, id: u64, line: &Value) -> anyhow::Result<Heard> {
        ensure!(line["error"].is_null(), "a side said {line}");
        let params = &line["params"];
        let method = line["method"].as_str();
        let (piece, end, well) = match self {
            Dialect::AppServer => (
                (method == Some("item/agentMessage/delta")).then_some(&params["delta"]),
                method == Some("turn/completed"),
                params["turn"]["status"] == "completed",
            ),
            Dialect::Serve => {
                let event = &params["event"];
                (
                    (event["type"] == "text_delta").then_some(&event["text"]),
                    event["type"] == "message_end",
                    event["stop_reason"] == "end_turn",
                )
            }
            Dialect::Acp => {
                let update = &params["update"];
                (
                    (update["sessionUpdate"] == "agent_message_chunk")
                        .then_some(&update["content"]["text"]),
                    method.is_none() && line["id"] == id,
                    line["result"]["stopReason"] == "end_turn",
                )
            }
            Dialect::Orders => (line.get("text"), line["end"] == true, true),
        };
        ensure!(!end || well, "a turn ended with {line}");
        Ok(match piece.and_then(Value::as_str) {
            Some(piece) => Heard::Piece(piece.to_owned()),
            None if end => Heard::End,
            None => Heard::Nothing,
        })
    }
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_a_piece_an_end_and_a_failure() {
        let event = |event| json!({ "params": { "event": event } });
        let update =
            |text| json!({ "sessionUpdate": "agent_message_chunk", "content": { "text": text } });
        let completed = |status| json!({ "method": "turn/completed", "params": { "turn": { "status": status } } });
        for (dialect, piece, end, failure) in [
            (
                Dialect::AppServer,
                json!({ "method": "item/agentMessage/delta", "params": { "delta": "a" } }),
                completed("completed"),
                completed("failed"),
            ),
            (
                Dialect::Serve,
                event(json!({ "type": "text_delta", "text": "a" })),
                event(json!({ "type": "message_end", "stop_reason": "end_turn" })),
                event(json!({ "type": "message_end", "stop_reason": "error" })),
            ),
            (
                Dialect::Acp,
                json!({ "method": "session/update", "params": { "update": update("a") } }),
                json!({ "id": 7, "result": { "stopReason": "end_turn" } }),
                json!({ "id": 7, "error": { "code": -32603 } }),
            ),
            (
                Dialect::Orders,
                json!({ "text": "a" }),
                json!({ "end": true }),
                json!({ "error": "out of order" }),
            ),
        ] {
            let heard = |line| dialect.heard(7, line);
            assert_eq!(heard(&piece).unwrap(), Heard::Piece("a".to_owned()));
            assert_eq!(heard(&end).unwrap(), Heard::End);
            assert!(heard(&failure).is_err(), "{dialect:?}");
            let other = json!({ "id": 6, "method": "x", "params": {} });
            assert_eq!(heard(&other).unwrap(), Heard::Nothing);
        }
    }

    #[test]
    fn of_many_turns_at_once_a_line_is_about_one() {
        let event = |turn| json!({ "method": "turn/event", "params": { "turnId": turn } });
        let update =
            |session| json!({ "method": "session/update", "params": { "sessionId": session } });
        let answer = json!({ "id": 7, "result": { "turnId": "turn-1" } });
        let name = Dialect::Serve.begun(&answer);
        assert_eq!(name.as_deref(), Some("turn-1"));
        for (dialect, its, others) in [
            (Dialect::Serve, event("turn-1"), event("turn-2")),
            (Dialect::Acp, update("a"), update("b")),
        ] {
            let concerns = |line| dialect.concerns(7, "a", name.as_deref(), line);
            assert!(concerns(&its) && concerns(&answer), "{dialect:?}");
            assert!(!concerns(&others), "{dialect:?}");
            assert!(!concerns(&json!({ "id": 8 })), "{dialect:?}");
        }
    }
}
