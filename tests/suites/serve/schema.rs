//! The published schema is about the messages that there are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use plexum_openai_provider_tests::tool::serve_client;
use plexum_openai_provider_tests::transcript;
use serde_json::{Value, json};
use wit_parser::{Resolve, TypeDefKind, UnresolvedPackageGroup};

use super::transcript::TRANSCRIPT;

pub const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host-shim/schemas/serve.schema.json"
);

/// The JSON of every kind of event.
const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/events.jsonl");

/// A script in `tests/suites/serve`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("suites/serve")
        .join(name)
}

/// The cases of each type of the interface `turns` that has any, in the names of the JSON.
fn contract() -> BTreeMap<String, Vec<String>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/provider");
    let group = UnresolvedPackageGroup::parse_dir(folder).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group).unwrap();
    let turns = resolve.packages[package].interfaces["turns"];
    let json = |name: &str| name.replace('-', "_");
    let types = resolve.interfaces[turns].types.iter();
    let cases = types.map(|(name, id)| {
        let cases: Vec<String> = match &resolve.types[*id].kind {
            TypeDefKind::Enum(kind) => kind.cases.iter().map(|case| json(&case.name)).collect(),
            TypeDefKind::Variant(kind) => kind.cases.iter().map(|case| json(&case.name)).collect(),
            TypeDefKind::Flags(kind) => kind.flags.iter().map(|flag| json(&flag.name)).collect(),
            _ => Vec::new(),
        };
        (json(name), cases)
    });
    cases.filter(|(_, cases)| !cases.is_empty()).collect()
}

#[test]
fn its_cases_are_those_of_the_contract() {
    let schema: Value = serde_json::from_str(&fs::read_to_string(SCHEMA).unwrap()).unwrap();
    let mut contract = contract();
    // What a client writes is read by the library, and `inputs` of a model is a member of its own.
    for name in ["content", "role", "input_kinds"] {
        assert!(contract.remove(name).is_some(), "{name}");
    }
    let tags = |branches: &Value, tag: &str| -> Vec<String> {
        let branches = branches["oneOf"].as_array().unwrap().iter();
        let tags = branches.map(|branch| match branch["$ref"].as_str() {
            Some(_) => "notice".to_owned(),
            None => branch["properties"][tag]["const"]
                .as_str()
                .unwrap()
                .to_owned(),
        });
        tags.collect()
    };
    let definitions = &schema["$defs"];
    let event = tags(&definitions["event"], "type");
    assert_eq!(contract.remove("event"), Some(event));
    let notice = tags(&definitions["notice"], "kind");
    assert_eq!(contract.remove("notice_kind"), Some(notice));
    let capability = contract.remove("capabilities").unwrap();
    contract.insert("capability".to_owned(), capability);
    assert!(contract.len() > 8, "{contract:?}");
    for (name, cases) in contract {
        assert_eq!(definitions[&name]["enum"], json!(cases), "{name}");
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
fn every_kind_of_event_and_every_recorded_one_follow_it() {
    let mut files = vec![PathBuf::from(EVENTS)];
    for version in fs::read_dir(transcript::folder()).unwrap() {
        let cases = fs::read_dir(version.unwrap().path()).unwrap();
        files.extend(cases.map(|case| case.unwrap().path().join("events.jsonl")));
    }
    let mut values = Vec::new();
    for file in files {
        let events = fs::read_to_string(file).unwrap();
        let events = events
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        values.extend(events.map(|event| ("event", event)));
    }
    let name = "every_kind_of_event_and_every_recorded_one_follow_it";
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
        call(
            "turn/start",
            json!({ "workspace": "/w", "prompt": "x", "options": { "effort": 7 } }),
        ),
        call(
            "turn/start",
            json!({ "workspace": "/w", "prompt": "x", "options": { "temperature": 1 } }),
        ),
        call("metrics/get", json!([])),
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
