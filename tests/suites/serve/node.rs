//! The server and a client library that nobody here wrote, in Node.js.

use std::path::Path;
use std::process::Stdio;

use plexum_openai_provider::{Event, FailureKind, StopReason};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::tool::serve_client;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};

use super::client::scripted;
use super::schema::{SCHEMA, script};

/// What the client saw.
struct Seen(Value);

impl Seen {
    /// The events of the turn that was asked for as the n-th.
    fn events(&self, number: usize) -> Vec<Event> {
        let id = self.0["answers"][number]["turnId"].as_str().unwrap();
        let events = serde_json::from_value(self.0["events"][id].clone()).unwrap();
        let events: Vec<Event> = events;
        let is_end = |event: &&Event| matches!(event, Event::MessageEnd { .. });
        assert_eq!(events.iter().filter(is_end).count(), 1, "{events:?}");
        assert!(events.last().as_ref().is_some_and(is_end), "{events:?}");
        events
    }

    /// The texts of that turn, the thread's id, and how it ended.
    fn turn(&self, number: usize) -> (Vec<String>, String, StopReason) {
        let events = self.events(number);
        let Some(Event::MessageStart { thread_id, .. }) = events.first() else {
            panic!("{events:?}")
        };
        let Some(Event::MessageEnd { stop_reason, .. }) = events.last() else {
            panic!("{events:?}")
        };
        let texts = events.iter().filter_map(|event| match event {
            Event::TextDelta { text, .. } => Some(text.clone()),
            _ => None,
        });
        (texts.collect(), thread_id.clone(), *stop_reason)
    }
}

/// Lets the client carry out this plan; `None` when this machine has no Node.js.
fn carry_out(
    name: &str,
    home: Option<&Path>,
    config: &Path,
    turns: &[Value],
    garbage: &[&str],
) -> Option<Seen> {
    let mut node = serve_client(name)?;
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.json");
    let command = [
        program().as_os_str(),
        "serve".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
    ];
    let command = command.map(|word| word.to_str().unwrap());
    let text = json!({ "command": command, "schema": SCHEMA, "turns": turns, "garbage": garbage });
    std::fs::write(&plan, text.to_string()).unwrap();
    node.envs(home.map(|home| ("CODEX_HOME", home)));
    // Codex's tools run a login shell, which would read the tester's profile.
    node.envs(home.map(|home| ("HOME", home)));
    let output = node
        .arg(script("client.js"))
        .arg(plan)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    Some(Seen(serde_json::from_slice(&output.stdout).unwrap()))
}

#[test]
fn twenty_turns_at_once_with_garbage_in_between() {
    const TURNS: usize = 20;
    const CANCELLED: usize = 7;
    let workspaces: Vec<Workspace> = (0..TURNS)
        .map(|number| {
            let mut steps = vec![
                Step::ThreadStarted,
                Step::TurnStarted,
                Step::message("one \u{2028} line"),
            ];
            if number == CANCELLED {
                steps.push(Step::Forever);
            }
            steps.extend((0..number).map(|step| Step::message(format!("step {step}"))));
            steps.extend([Step::Echo, Step::TurnCompleted]);
            scripted(steps)
        })
        .collect();
    let turns: Vec<Value> = workspaces
        .iter()
        .enumerate()
        .map(|(number, workspace)| {
            let content = format!("prompt {number}");
            let messages = json!([{ "role": "user", "content": content }]);
            let mut turn =
                json!({ "params": { "workspace": workspace.path(), "messages": messages } });
            if number == CANCELLED {
                turn["cancelAt"] = json!("one \u{2028} line");
            }
            turn
        })
        .collect();
    let garbage = [
        r#"{"jsonrpc":"#,
        "garbage",
        "[]",
        r#"{"jsonrpc":"2.0","method":"nonsense"}"#,
    ];
    let name = "twenty_turns_at_once_with_garbage_in_between";
    let Some(seen) = carry_out(name, None, &workspaces[0].config(), &turns, &garbage) else {
        return;
    };
    assert_eq!(seen.0["exit"], 0);
    assert_eq!(
        seen.0["models"],
        json!([{ "id": "codex", "default": true, "images": true, "efforts": [] }])
    );
    let metrics = &seen.0["metrics"];
    assert_eq!(
        (&metrics["turns_completed"], &metrics["turns_aborted"]),
        (&json!(TURNS - 1), &json!(1))
    );
    // Three of the four kinds are answered.
    let errors = seen.0["errors"].as_array().unwrap();
    let codes: Vec<&Value> = errors.iter().map(|error| &error["code"]).collect();
    assert_eq!(codes, [-32700, -32700, -32600].repeat(TURNS / 4));
    let mut threads = std::collections::BTreeSet::new();
    for number in 0..TURNS {
        let (texts, thread, stop_reason) = seen.turn(number);
        assert!(threads.insert(thread), "two turns in one conversation");
        let mut expected = vec!["one \u{2028} line".to_owned()];
        if number == CANCELLED {
            assert_eq!((texts, stop_reason), (expected, StopReason::Aborted));
            assert_eq!(seen.0["answers"][number]["cancelled"], json!({}));
            continue;
        }
        expected.extend((0..number).map(|step| format!("step {step}")));
        expected.push(format!("echo: prompt {number}"));
        assert_eq!((texts, stop_reason), (expected, StopReason::EndTurn));
    }
}

#[test]
fn turns_on_the_real_codex() {
    let name = "turns_on_the_real_codex";
    let codexes = real_codex!();
    let codex = codexes.last().unwrap();
    let agent = Agent::new(codex).unwrap();
    let other = Workspace::new(&codex.path).unwrap();
    let schema = json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false });
    let turns = [
        json!({ "params": { "workspace": agent.workspace.path(), "prompt": "my name is Ada" } }),
        json!({ "params": { "workspace": other.path(), "prompt": "--help" } }),
        json!({ "params": { "workspace": other.outside("nowhere"), "prompt": "x" } }),
        json!({ "params": {
            "workspace": agent.workspace.path(),
            "session": "review",
            "instructions": "Be \"kind\".",
            "prompt": "mock:text={}",
            "options": { "effort": "high", "outputSchema": schema },
        }}),
    ];
    let carry_out = |turns| {
        carry_out(
            name,
            Some(agent.home.path()),
            &agent.workspace.config(),
            turns,
            &["garbage"],
        )
    };
    let Some(seen) = carry_out(&turns) else {
        return;
    };
    assert_eq!(seen.0["exit"], 0);
    for (number, expected) in ["echo: my name is Ada", "echo: --help"].iter().enumerate() {
        let (texts, _, stop_reason) = seen.turn(number);
        assert_eq!(
            (texts.concat().as_str(), stop_reason),
            (*expected, StopReason::EndTurn)
        );
    }
    let nowhere = seen.events(2);
    let [
        Event::MessageEnd {
            failure: Some(failure),
            ..
        },
    ] = nowhere.as_slice()
    else {
        panic!("{nowhere:?}")
    };
    assert_eq!(failure.kind, FailureKind::InvalidRequest);

    // Everything else that a request may hold reaches the model, in a conversation of its own.
    let (texts, review, _) = seen.turn(3);
    assert_eq!(texts.concat(), "{}");
    assert_ne!(review, seen.turn(0).1);
    let requests = agent.model.requests();
    let got = requests
        .iter()
        .find(|request| request.prompts() == ["mock:text={}"])
        .unwrap();
    assert!(got.developer_texts().any(|text| text == "Be \"kind\"."));
    assert_eq!(got.body["reasoning"]["effort"], "high");
    assert_eq!(got.body["text"]["format"]["schema"], schema);

    // Another server goes on with the conversation.
    let again =
        json!({ "params": { "workspace": agent.workspace.path(), "prompt": "mock:history" } });
    let resumed = carry_out(&[again]).unwrap();
    let (texts, thread, _) = resumed.turn(0);
    assert_eq!(texts.concat(), r#"["my name is Ada","mock:history"]"#);
    assert_eq!(thread, seen.turn(0).1);
}
