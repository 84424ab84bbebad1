//! A request that holds everything that a host hands over to codex, and what the model gets of it: the same in every
//! host.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider::{SessionFiles, SessionKey};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::mock_model::RecordedRequest;
use crate::workspace::Said;

/// Everything that a TOML string has to quote, and then some.
const INSTRUCTIONS: &str =
    "Be \"brief\", 'plain' and kind.\n\n\tC:\\temp \"\"\" \u{1}\u{7f}\u{85}\u{2028}é\u{1f980}\r\n";

/// Says something three times with a host, which `say` runs with options and a prompt: twice in a conversation of its
/// own name, and then in the workspace's. The agent must be fresh.
///
/// # Errors
/// When the model or the workspace get something else than the request holds.
pub fn check(agent: &Agent, say: impl Fn(&[&str], &str) -> Command) -> Result<()> {
    let said = |options: &[&str], prompt: &str| -> Result<(Said, RecordedRequest)> {
        let mut command = say(options, prompt);
        command
            .env("CODEX_HOME", agent.home.path())
            .env("HOME", agent.home.path());
        let said = Said::by(&command.output()?)?;
        ensure!(said.code == Some(0), "{prompt}: {said:?}");
        let got = agent
            .model
            .requests()
            .pop()
            .context("the model was asked")?;
        Ok((said, got))
    };
    let schema = json!({
        "type": "object",
        "properties": { "name": { "type": "string" } },
        "required": ["name"],
        "additionalProperties": false,
    });
    let file = agent.workspace.outside("schema.json");
    std::fs::write(&file, schema.to_string())?;
    let file = file.to_str().context("a path of plain text")?;

    let session = "team/\u{1f980} 1";
    let answer = r#"{"name":"Ada"}"#;
    let first = format!("mock:text={answer}");
    let options = [
        ["--session", session],
        ["--instructions", INSTRUCTIONS],
        ["--effort", "high"],
        ["--output-schema", file],
    ];
    let (one, got) = said(&options.concat(), &first)?;
    ensure!(one.text() == answer, "{one:?}");
    ensure!(has_instructions(&got), "the instructions: {}", got.body);
    let effort = got.body.pointer("/reasoning/effort");
    ensure!(effort == Some(&"high".into()), "the effort: {effort:?}");
    let form = got.body.pointer("/text/format/schema");
    ensure!(form == Some(&schema), "the output schema: {form:?}");

    let (two, got) = said(&["--session", session], "two")?;
    let (thread, _) = one.start().context("it has begun")?;
    ensure!(two.start() == Some((thread, true)), "{two:?}");
    ensure!(
        got.prompts() == [first.as_str(), "two"],
        "{:?}",
        got.prompts()
    );
    ensure!(has_instructions(&got), "they belong to the conversation");

    let (three, got) = said(&[], "three")?;
    let (own_thread, resumed) = three.start().context("it has begun")?;
    ensure!(own_thread != thread && !resumed, "{three:?}");
    ensure!(got.prompts() == ["three"], "{:?}", got.prompts());
    ensure!(
        !has_instructions(&got),
        "they belong to another conversation"
    );

    let kept = |session: Option<&str>| {
        let session = session.map(str::to_owned);
        let key = SessionKey::new(agent.workspace.path(), session);
        std::fs::read_to_string(SessionFiles::session_file(&key))
    };
    ensure!(
        kept(Some(session))? == thread,
        "it is kept where the Rust host finds it"
    );
    ensure!(kept(None)? == own_thread, "so is the workspace's own");
    Ok(())
}

/// Whether the model was given the instructions, as they are.
fn has_instructions(request: &RecordedRequest) -> bool {
    let array =
        |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut messages = array(request.body.get("input")).into_iter();
    messages.any(|message| {
        let pieces = array(message.get("content"));
        let is = |value: &Value, key, text: &str| value.get(key).is_some_and(|held| held == text);
        is(&message, "role", "developer")
            && pieces.iter().any(|piece| is(piece, "text", INSTRUCTIONS))
    })
}
