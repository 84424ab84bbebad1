//! `fake-codex app-server` says nothing that the real one would not say in its place. What that says is in
//! `tests/server-transcripts`, and the suite `server_transcripts` checks that it still does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::transcript::{Dialogue, Said};
use serde_json::{Value, json};

/// The version that the fake claims to be.
const VERSION: &str = "0.169.0";

/// Members whose text is one of a few words.
const WORDS: [&str; 5] = ["type", "status", "approvalPolicy", "model", "method"];

/// The name of an answer that is an error.
const ERROR: &str = "an error";

/// A message of codex, and what it is.
#[derive(Debug)]
struct Message {
    /// The method of a notification, what an answer answers, or an error.
    name: String,
    content: Value,
}

/// The messages of codex, in order.
fn messages(dialogue: &Dialogue) -> Vec<Message> {
    let mut asked = BTreeMap::new();
    let mut messages = Vec::new();
    for said in &dialogue.0 {
        let (Said::Host(line) | Said::Codex(line)) = said;
        let content: Value = serde_json::from_str(line).unwrap();
        let id = content["id"].to_string();
        let method = content["method"].as_str().map(str::to_owned);
        match said {
            Said::Host(_) => {
                asked.insert(id, method.unwrap());
            }
            Said::Codex(_) => {
                let name = match method {
                    Some(method) => method,
                    None if content.get("error").is_some() => ERROR.to_owned(),
                    None => format!("the answer to {}", asked[&id]),
                };
                messages.push(Message { name, content });
            }
        }
    }
    messages
}

/// What the real one has said in this conversation.
fn real(case: &Path) -> Vec<Message> {
    let text = fs::read_to_string(case.join("dialogue.txt")).unwrap();
    messages(&Dialogue::read(&text).unwrap())
}

fn kept() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("server-transcripts")
        .join(VERSION)
}

/// What the fake says when it is asked these methods with these parameters.
fn fake(asked: &[(&str, Value)]) -> Vec<Message> {
    let workspace = tempfile::tempdir().unwrap();
    let mut codex = Command::new(env!("CARGO_BIN_EXE_fake-codex"))
        .arg("app-server")
        .current_dir(workspace.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = asked.iter().zip(1..).map(|((method, params), id)| {
        json!({ "id": id, "method": method, "params": params }).to_string()
    });
    let lines: Vec<String> = lines.collect();
    let mut stdin = codex.stdin.take().unwrap();
    writeln!(stdin, "{}", lines.join("\n")).unwrap();
    drop(stdin);
    let mut said = String::new();
    let mut stdout = codex.stdout.take().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    assert!(codex.wait().unwrap().success(), "{said}");
    let host = lines.into_iter().map(Said::Host);
    let codex = said.lines().map(|line| Said::Codex(line.to_owned()));
    messages(&Dialogue(host.chain(codex).collect()))
}

fn conversation() -> Vec<(&'static str, Value)> {
    let thread = "01a20459-1490-7bf3-b2e1-4d675dab2915";
    let input = json!([{ "type": "text", "text": "hello" }]);
    vec![
        ("initialize", json!({})),
        ("thread/start", json!({})),
        ("turn/start", json!({ "input": input })),
        ("thread/resume", json!({ "threadId": thread })),
        ("turn/start", json!({ "threadId": thread, "input": input })),
        ("turn/interrupt", json!({ "threadId": thread })),
        ("no/such/method", json!({})),
    ]
}

/// Checks that each member of `said` is in one of `real`, with a value of the same kind.
fn check(said: &Value, real: &[&Value], place: &str) -> Result<(), String> {
    match said {
        Value::Object(members) => {
            // What the other members are depends on the type.
            let is_alike =
                |other: &&&Value| said["type"].is_null() || other["type"] == said["type"];
            let alike: Vec<&Value> = real.iter().filter(is_alike).copied().collect();
            for (name, value) in members {
                let others: Vec<&Value> =
                    alike.iter().filter_map(|other| other.get(name)).collect();
                let place = format!("{place}.{name}");
                if others.is_empty() {
                    return Err(format!("{place} is not in what the real one says"));
                }
                if WORDS.contains(&name.as_str()) && value.is_string() && !others.contains(&value) {
                    return Err(format!("{place} is never {value}: {others:?}"));
                }
                check(value, &others, &place)?;
            }
            Ok(())
        }
        Value::Array(elements) => {
            let others: Vec<&Value> = real
                .iter()
                .filter_map(|other| other.as_array())
                .flatten()
                .collect();
            elements
                .iter()
                .try_for_each(|element| check(element, &others, &format!("{place}[]")))
        }
        _ => {
            let kind = std::mem::discriminant(said);
            match real
                .iter()
                .any(|other| std::mem::discriminant(*other) == kind)
            {
                true => Ok(()),
                false => Err(format!("{place} is never like {said}: {real:?}")),
            }
        }
    }
}

#[test]
fn its_messages_have_only_members_of_the_real_ones() {
    let cases = fs::read_dir(kept()).unwrap();
    let all: Vec<Message> = cases.flat_map(|case| real(&case.unwrap().path())).collect();
    let said = fake(&conversation());
    for message in &said {
        let real: Vec<&Value> = all
            .iter()
            .filter(|other| other.name == message.name)
            .map(|other| &other.content)
            .collect();
        assert!(!real.is_empty(), "the real one never says {}", message.name);
        if let Err(error) = check(&message.content, &real, "") {
            panic!("{}: {error}", message.name);
        }
    }
    // Each of its messages was among them.
    let mut names: Vec<&str> = said.iter().map(|message| message.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(
        names,
        [
            ERROR,
            "item/completed",
            "the answer to initialize",
            "the answer to thread/resume",
            "the answer to thread/start",
            "the answer to turn/interrupt",
            "the answer to turn/start",
            "thread/tokenUsage/updated",
            "turn/completed",
            "turn/started",
        ]
    );
}

#[test]
fn its_turn_has_the_order_of_a_real_one() {
    let what = |message: &Message| {
        let item = &message.content["params"]["item"]["type"];
        format!("{} {item}", message.name)
    };
    let real: Vec<String> = real(&kept().join("plain")).iter().map(what).collect();
    let fake: Vec<String> = fake(&conversation()[..3]).iter().map(what).collect();
    assert!(fake.len() >= 7, "{fake:?}");
    let mut rest = real.iter();
    for message in &fake {
        assert!(
            rest.any(|other| other == message),
            "{message} is not there, or not in this order: {real:?}"
        );
    }
}
