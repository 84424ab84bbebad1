//! Turns, one and many.

use plexum_openai_provider::{Event, FailureKind, StopReason};
use plexum_openai_provider_tests::fake_codex::Step;
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
    std::fs::remove_file(workspace.path().join(".plexum-codex-session")).unwrap();

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
