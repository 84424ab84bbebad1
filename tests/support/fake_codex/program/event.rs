//! Codex's event lines, with their members in codex's order.

use plexum_openai_provider_tests::fake_codex::Usage;

pub(crate) const TURN_STARTED: &str = r#"{"type":"turn.started"}"#;

pub(crate) fn thread_started(id: &str) -> String {
    format!(r#"{{"type":"thread.started","thread_id":{}}}"#, quoted(id))
}

pub(crate) fn message(item: u64, text: &str) -> String {
    let text = quoted(text);
    format!(
        r#"{{"type":"item.completed","item":{{"id":"item_{item}","type":"agent_message","text":{text}}}}}"#
    )
}

pub(crate) fn turn_completed(usage: &Usage) -> anyhow::Result<String> {
    let usage = serde_json::to_string(usage)?;
    Ok(format!(r#"{{"type":"turn.completed","usage":{usage}}}"#))
}

pub(crate) fn turn_failed(message: &str) -> String {
    let message = quoted(message);
    format!(r#"{{"type":"turn.failed","error":{{"message":{message}}}}}"#)
}

pub(crate) fn error(message: &str) -> String {
    format!(r#"{{"type":"error","message":{}}}"#, quoted(message))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
