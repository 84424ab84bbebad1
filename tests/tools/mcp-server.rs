//! A small MCP server on standard input and output, for the real codex to use as a tool. The tool
//! `add` adds, `fail` says that it failed, and `die` ends the server in the middle of the call.

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

/// JSON-RPC's number for a method that does not exist.
const METHOD_NOT_FOUND: i32 = -32601;

/// JSON-RPC's number for parameters that make no sense.
const INVALID_PARAMS: i32 = -32602;

/// What a request comes to.
enum Reply {
    Result(Value),
    Error(i32, String),
    /// No answer: the server ends.
    Death,
}

fn main() -> ExitCode {
    match serve() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mcp-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line.context("cannot read stdin")?;
        let message: Value =
            serde_json::from_str(&line).with_context(|| format!("this is not JSON: {line}"))?;
        // A notification, which wants no answer.
        let Some(id) = message.get("id") else {
            continue;
        };
        let answer = match reply(&message) {
            Reply::Result(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Reply::Error(code, text) => {
                let error = json!({ "code": code, "message": text });
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
            Reply::Death => return Ok(ExitCode::FAILURE),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn reply(message: &Value) -> Reply {
    let params = message.get("params").unwrap_or(&Value::Null);
    match message.get("method").and_then(Value::as_str) {
        Some("initialize") => Reply::Result(json!({
            // Whatever version the client speaks: nothing here depends on it.
            "protocolVersion": params.get("protocolVersion"),
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "lab", "version": env!("CARGO_PKG_VERSION") },
        })),
        Some("ping") => Reply::Result(json!({})),
        Some("tools/list") => Reply::Result(json!({ "tools": tools() })),
        Some("tools/call") => call(params),
        other => Reply::Error(METHOD_NOT_FOUND, format!("no method {other:?}")),
    }
}

fn tools() -> Value {
    let number = json!({ "type": "integer" });
    let nothing = json!({ "type": "object", "properties": {} });
    json!([
        {
            "name": "add",
            "description": "Adds two numbers.",
            "inputSchema": {
                "type": "object",
                "properties": { "a": number, "b": number },
                "required": ["a", "b"],
            },
        },
        { "name": "fail", "description": "Fails.", "inputSchema": nothing },
        { "name": "die", "description": "Ends the server.", "inputSchema": nothing },
    ])
}

fn call(params: &Value) -> Reply {
    let number = |name: &str| params.get("arguments")?.get(name)?.as_i64();
    match params.get("name").and_then(Value::as_str) {
        Some("add") => match number("a").zip(number("b")) {
            Some((a, b)) => Reply::Result(text(&a.saturating_add(b).to_string(), false)),
            None => Reply::Error(INVALID_PARAMS, "add takes the numbers a and b".to_owned()),
        },
        Some("fail") => Reply::Result(text("failed as asked", true)),
        Some("die") => Reply::Death,
        other => Reply::Error(INVALID_PARAMS, format!("no tool {other:?}")),
    }
}

fn text(text: &str, is_error: bool) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "isError": is_error })
}
