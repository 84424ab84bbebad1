//! The published schema is about the messages that there are.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use plexum_openai_provider_tests::tool::serve_client;
use plexum_openai_provider_tests::transcript;
use serde_json::{Value, json};

use super::transcript::TRANSCRIPT;

pub const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host-shim/schemas/serve.schema.json"
);

/// A script in `tests/suites/serve`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("suites/serve")
        .join(name)
}

#[test]
fn its_enums_are_those_of_the_contract() {
    let schema: Value = serde_json::from_str(&fs::read_to_string(SCHEMA).unwrap()).unwrap();
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/provider.wit");
    let contract = fs::read_to_string(contract).unwrap();
    for name in [
        "tool_kind",
        "tool_status",
        "notice_kind",
        "stop_reason",
        "failure_kind",
    ] {
        let head = format!("enum {} {{", name.replace('_', "-"));
        let (_, body) = contract.split_once(&head).unwrap();
        let (body, _) = body.split_once('}').unwrap();
        let lines = body
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("///"));
        let cases: Vec<String> = lines
            .filter_map(|line| line.strip_suffix(','))
            .map(|case| case.replace('-', "_"))
            .collect();
        assert!(cases.len() > 2, "{name}");
        assert_eq!(schema["$defs"][name]["enum"], json!(cases), "{name}");
    }
}

/// Whether each value follows the definition; the validator's words.
fn validate(name: &str, values: &[(&str, Value)]) -> Option<(bool, String)> {
    let mut node = serve_client(name)?;
    let mut lines = String::new();
    for (definition, value) in values {
        writeln!(
            lines,
            "{}",
            json!({ "definition": definition, "value": value })
        )
        .unwrap();
    }
    let mut child = node
        .arg(script("schema.js"))
        .arg(SCHEMA)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).unwrap()))
}

#[test]
fn every_event_of_every_recorded_turn_follows_it() {
    let mut values = Vec::new();
    for version in fs::read_dir(transcript::folder()).unwrap() {
        for case in fs::read_dir(version.unwrap().path()).unwrap() {
            let events = fs::read_to_string(case.unwrap().path().join("events.jsonl")).unwrap();
            values.extend(
                events
                    .lines()
                    .map(|line| ("event", serde_json::from_str(line).unwrap())),
            );
        }
    }
    let name = "every_event_of_every_recorded_turn_follows_it";
    let Some(said) = validate(name, &values) else {
        return;
    };
    assert!(values.len() > 300);
    assert_eq!(said, (true, format!("{}\n", values.len())));
}

#[test]
fn the_transcript_follows_it() {
    let text = fs::read_to_string(TRANSCRIPT).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let values: Vec<(&str, Value)> = entries
        .filter(|entry: &Value| entry["wrong"] != true)
        .map(|entry| match entry.get("client") {
            Some(message) => ("client_message", message.clone()),
            None => ("server_message", entry["server"].clone()),
        })
        .collect();
    let Some(said) = validate("the_transcript_follows_it", &values) else {
        return;
    };
    assert!(values.len() > 20);
    assert_eq!(said, (true, format!("{}\n", values.len())));
}

#[test]
fn it_refuses_what_the_server_refuses() {
    let call = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    for value in [
        call("nonsense", json!({})),
        call("initialize", json!({})),
        call("turn/start", json!({ "workspace": "/w" })),
        call("turn/start", json!({ "workspace": "w", "prompt": "x" })),
        call(
            "turn/start",
            json!({ "workspace": "/w", "prompt": "x", "messages": [] }),
        ),
        call("turn/start", json!({ "workspace": "/w", "promt": "x" })),
        call("turn/cancel", json!({ "turn_id": "turn-1" })),
        json!({ "id": 1, "method": "ping" }),
        json!([call("ping", json!({}))]),
    ] {
        let Some((valid, said)) = validate(
            "it_refuses_what_the_server_refuses",
            &[("client_message", value.clone())],
        ) else {
            return;
        };
        assert!(!valid, "{value}");
        assert!(said.contains("is no client_message"), "{said}");
    }
}
