//! Turns, one and many.

use std::os::unix::fs::PermissionsExt;

use plexum_openai_provider::{Event, FailureKind, StopReason};
use plexum_openai_provider_tests::fake_codex::{Script, Step, Usage};
use plexum_openai_provider_tests::wait::is_running;
use plexum_openai_provider_tests::workspace::Workspace;
use serde_json::{Value, json};

use super::client::{Server, fake_codex, scripted};

#[test]
fn the_events_are_those_of_say_and_the_answer_comes_before_them() {
    let command = json!({"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"ls","aggregated_output":"a\n","exit_code":0,"status":"completed"}});
    let workspace = scripted([
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("one"),
        Step::emit(command.to_string()),
        Step::Error {
            message: "Reconnecting... 1/5 (cut)".into(),
        },
        Step::message("two \u{2028} ü"),
        Step::TurnCompleted,
    ]);
    let say = workspace.say(["--json", "--", "x"]).output().unwrap();
    let said: Vec<Value> = String::from_utf8(say.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // So that another conversation begins.
    std::fs::remove_file(workspace.path().join(".plexum-codex-session")).unwrap();
    std::fs::remove_dir_all(workspace.state_home()).unwrap();

    let mut server = Server::initialized(&workspace);
    let id = server.ask(
        "turn/start",
        json!({ "workspace": workspace.path(), "prompt": "x" }),
    );
    assert_eq!(
        server.receive(),
        json!({ "jsonrpc": "2.0", "id": id, "result": { "turnId": "turn-1" } })
    );
    for mut expected in said {
        let line = server.read();
        // Some libraries would take it for the end of the line.
        assert!(!line.contains('\u{2028}'), "{line}");
        let mut got: Value = serde_json::from_str(&line).unwrap();
        // Another conversation, and so other totals than those of `say`.
        for event in [&mut expected, &mut got["params"]["event"]] {
            if let Some(thread_id) = event.get_mut("thread_id") {
                *thread_id = Value::Null;
            }
        }
        assert_eq!(
            got,
            json!({
                "jsonrpc": "2.0",
                "method": "turn/event",
                "params": { "turnId": "turn-1", "event": expected },
            })
        );
    }
    server.call("ping", json!({}));
}

#[test]
fn turns_in_many_workspaces_run_at_once() {
    // Each waits for a sign that only comes when all have begun.
    let steps = [
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        Step::wait_for_file("go"),
        Step::Echo,
        Step::TurnCompleted,
    ];
    let workspaces: Vec<Workspace> = (0..8).map(|_| scripted(steps.clone())).collect();
    let mut server = Server::initialized(&workspaces[0]);
    let ids: Vec<String> = workspaces
        .iter()
        .enumerate()
        .map(|(number, workspace)| server.turn(workspace, &format!("prompt {number}")))
        .collect();
    let mut texts = vec![Vec::new(); ids.len()];
    let mut begun = 0;
    let mut ended = 0;
    while ended < ids.len() {
        let (turn_id, event) = server.event();
        let number = ids.iter().position(|id| *id == turn_id).unwrap();
        match event {
            Event::TextDelta { text, .. } => {
                begun += usize::from(text == "here");
                texts[number].push(text);
                if begun == ids.len() {
                    begun = 0;
                    for workspace in &workspaces {
                        std::fs::write(workspace.path().join("go"), "").unwrap();
                    }
                }
            }
            Event::MessageEnd { stop_reason, .. } => {
                assert_eq!(stop_reason, StopReason::EndTurn);
                ended += 1;
            }
            _ => {}
        }
    }
    for (number, texts) in texts.iter().enumerate() {
        assert_eq!(
            *texts,
            ["here".to_owned(), format!("echo: prompt {number}")]
        );
    }
}

#[test]
fn a_cancelled_turn_reports_its_end_and_is_unknown_then() {
    // It ignores the first attempt to stop it, so that there is time for a second.
    let workspace = scripted([
        Step::IgnoreSignals { signals: vec![2] },
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        Step::Forever,
    ]);
    let mut server = Server::initialized(&workspace);
    let turn = server.turn(&workspace, "x");
    server.until(&turn, Some("here"));
    let cancel = json!({ "turnId": turn });
    assert_eq!(server.call("turn/cancel", cancel.clone()), json!({}));
    assert_eq!(server.call("turn/cancel", cancel.clone()), json!({}));
    let events = server.until(&turn, None);
    let Some(Event::MessageEnd {
        stop_reason,
        failure,
        ..
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    assert_eq!(*stop_reason, StopReason::Aborted);
    assert_eq!(
        failure.as_ref().map(|failure| failure.kind),
        Some(FailureKind::Killed)
    );
    // At once: who has seen the end has seen it.
    assert_eq!(server.refused("turn/cancel", cancel), -32003);
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
    assert_ne!(server.turn(&workspace, "x"), turn);
}

#[test]
fn a_turn_that_cannot_begin_fails_in_its_events() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let mut server = Server::initialized(&workspace);
    let nowhere = json!({ "workspace": workspace.outside("nowhere"), "prompt": "x" });
    let unknown = json!({ "workspace": workspace.path(), "prompt": "x", "model": "nonsense" });
    let nothing = json!({ "workspace": workspace.path(), "messages": [] });
    for (params, kind) in [
        (nowhere, FailureKind::InvalidRequest),
        (unknown, FailureKind::ModelUnsupported),
        (nothing, FailureKind::InvalidRequest),
    ] {
        let turn = server.call("turn/start", params)["turnId"].clone();
        let events = server.until(turn.as_str().unwrap(), None);
        let [
            Event::MessageEnd {
                failure: Some(failure),
                ..
            },
        ] = events.as_slice()
        else {
            panic!("{events:?}")
        };
        assert_eq!(failure.kind, kind);
    }
}

#[test]
fn everything_that_a_request_holds_reaches_codex() {
    let workspace = scripted([
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::Echo,
        Step::TurnCompleted,
    ]);
    // The schema's file is gone when the turn has ended, so this codex copies it.
    let codex = workspace.outside("codex");
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$last\" != --output-schema ] || cp \"$word\" schema.json; last=$word; done\nexec '{}' \"$@\"\n",
        fake_codex().display()
    );
    std::fs::write(&codex, script).unwrap();
    std::fs::set_permissions(&codex, PermissionsExt::from_mode(0o755)).unwrap();
    workspace.configure(&json!({ "binary": codex })).unwrap();
    let mut server = Server::initialized(&workspace);

    // Written by hand: no value of `serde_json` keeps the schema as it is.
    let schema = r#"{ "type":"object","properties":{"z":{"maximum":1.50E+2},"a":{},"z":{}}}"#;
    let folder = workspace.path().display();
    server.line(&format!(
        r#"{{"jsonrpc":"2.0","id":"whole","method":"turn/start","params":{{"workspace":"{folder}","session":"team/1","instructions":"Be \"kind\".","messages":[{{"role":"system","content":"Be just."}},{{"role":"user","content":"one"}},{{"role":"assistant","content":"two"}},{{"role":"user","content":"three"}}],"options":{{"effort":"high","outputSchema":{schema}}}}}}}"#
    ));
    assert_eq!(server.receive()["result"]["turnId"], "turn-1");
    let events = server.until("turn-1", None);
    let Some(Event::MessageStart {
        thread_id, resumed, ..
    }) = events.first()
    else {
        panic!("{events:?}")
    };
    assert!(!resumed);
    let notices = events
        .iter()
        .filter(|event| matches!(event, Event::Notice { .. }));
    assert_eq!(notices.count(), 0, "{events:?}");

    let argv = workspace.calls().unwrap().remove(0).argv;
    let at = |word: &str| {
        let place = argv.iter().position(|found| found == word);
        place.unwrap_or_else(|| panic!("{word}: {argv:?}"))
    };
    let instructions = "developer_instructions=\"\"\"\nBe \"kind\".\n\nBe just.\"\"\"";
    assert_eq!(argv[at(instructions) - 1], "-c");
    assert_eq!(
        argv[at("model_reasoning_effort=\"\"\"high\"\"\"") - 1],
        "-c"
    );
    assert!(argv[at("--output-schema") + 1].starts_with('/'));
    let prompt = argv.last().unwrap();
    assert!(
        prompt.contains("User: one\n\nAssistant: two") && prompt.ends_with("three"),
        "{prompt}"
    );
    let copied = std::fs::read_to_string(workspace.path().join("schema.json"));
    assert_eq!(copied.unwrap(), schema);

    // The same conversation, and the workspace's own.
    let named = json!({ "workspace": workspace.path(), "session": "team/1", "prompt": "four" });
    let own = json!({ "workspace": workspace.path(), "session": null, "prompt": "five" });
    for (params, expected) in [(named, Some(thread_id)), (own, None)] {
        let turn = server.call("turn/start", params)["turnId"].clone();
        let events = server.until(turn.as_str().unwrap(), None);
        let Some(Event::MessageStart {
            thread_id, resumed, ..
        }) = events.first()
        else {
            panic!("{events:?}")
        };
        assert_eq!(resumed.then_some(thread_id), expected, "{events:?}");
    }
}

#[test]
fn a_tools_input_is_passed_on_as_codex_wrote_it() {
    let input =
        r#"{"z":[1e400,18446744073709551616,1.10,-0],"a":{"type":"x"},"z":"\u00e9\ud83e\udd80"}"#;
    let line = format!(
        r#"{{"type":"item.started","item":{{"id":"item_0","type":"mcp_tool_call","server":"s","tool":"t","arguments":{input},"status":"in_progress"}}}}"#
    );
    let workspace = scripted([
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::emit(line),
        Step::message("done"),
        Step::TurnCompleted,
    ]);
    let event = format!(
        r#"{{"type":"tool_start","id":"item_0","kind":"mcp_call","title":"s.t","input":{input}}}"#
    );
    let say = workspace.say(["--json", "--", "x"]).output().unwrap();
    let said = String::from_utf8(say.stdout).unwrap();
    assert!(said.lines().any(|line| line == event), "{said}");

    let mut server = Server::initialized(&workspace);
    server.ask(
        "turn/start",
        json!({ "workspace": workspace.path(), "prompt": "x" }),
    );
    let message = format!(
        r#"{{"jsonrpc":"2.0","method":"turn/event","params":{{"turnId":"turn-1","event":{event}}}}}"#
    );
    // The answer and the beginning come first.
    let lines: Vec<String> = (0..3).map(|_| server.read()).collect();
    assert_eq!(lines[2], message);
    server.until("turn-1", None);
}

#[test]
fn the_metrics_count_what_has_happened() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let steps = [
        Step::turn("hi").to_vec(),
        Step::failed_turn("You’ve hit your usage limit.").to_vec(),
    ];
    let script = steps.into_iter().fold(Script::new(), Script::call);
    script.write_to(workspace.path()).unwrap();
    let mut server = Server::initialized(&workspace);
    let metrics = |server: &mut Server| server.call("metrics/get", json!({}))["metrics"].clone();
    let before = metrics(&mut server);
    assert_eq!(
        (&before["turns_completed"], &before["turns_failed"]),
        (&json!(0), &json!({}))
    );
    for _ in 0..2 {
        let turn = server.turn(&workspace, "x");
        server.until(&turn, None);
    }
    let after = metrics(&mut server);
    for (name, expected) in [
        ("turns_waiting", json!(0)),
        ("turns_open", json!(0)),
        ("turns_completed", json!(1)),
        ("turns_failed", json!({ "usage_limit": 1 })),
        ("codex_starts", json!(2)),
        ("codex_restarts", json!(0)),
        ("input_tokens", json!(Usage::TURN.input_tokens)),
    ] {
        assert_eq!(after[name], expected, "{name}: {after}");
    }
    assert_eq!(after["to_first_text"]["count"], 1);
    assert_eq!(after["to_end"]["count"], 2);
    assert!(after["to_end"]["longest_seconds"].as_f64() > Some(0.0));
}
