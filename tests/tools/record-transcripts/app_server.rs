//! Archives a thread through `codex app-server`: `codex archive` does not exist in 0.135.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Archives `thread`; `command` runs codex without arguments.
pub(crate) fn archive(mut command: Command, thread: &str) -> anyhow::Result<()> {
    let mut server = command
        .arg("app-server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start codex app-server")?;
    let client = json!({ "name": "record-transcripts", "version": env!("CARGO_PKG_VERSION") });
    let requests = [
        json!({ "id": 1, "method": "initialize", "params": { "clientInfo": client } }),
        json!({ "method": "initialized" }),
        json!({ "id": 2, "method": "thread/archive", "params": { "threadId": thread } }),
    ];
    // Kept until the answer is there: the server ends when its input does.
    let mut stdin = server.stdin.take().context("the server has no stdin")?;
    for request in requests {
        writeln!(stdin, "{request}").context("the app-server does not read")?;
    }
    let stdout = server.stdout.take().context("the server has no stdout")?;
    let mut answer = None;
    for line in BufReader::new(stdout).lines() {
        let message: Value = serde_json::from_str(&line?)?;
        if message.get("id") == Some(&json!(2)) {
            answer = Some(message);
            break;
        }
    }
    drop(stdin);
    server.wait()?;
    match answer {
        Some(answer) if answer.get("result").is_some() => Ok(()),
        Some(answer) => bail!("codex does not archive {thread}: {answer}"),
        None => bail!("the app-server ended without an answer"),
    }
}
