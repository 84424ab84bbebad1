//! Every way in which a server ends: no turn goes on, and nothing is lost that somebody reads.

use std::process::Command;

use plexum_openai_provider::{Event, StopReason};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};

use super::client::{Server, fake_codex, scripted};

/// A server with two turns under way that would never end.
fn busy() -> (Server, [Workspace; 2]) {
    busy_with(Step::Forever)
}

fn busy_with(last: Step) -> (Server, [Workspace; 2]) {
    let steps = [
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        last,
    ];
    let workspaces = [scripted(steps.clone()), scripted(steps)];
    let mut server = Server::initialized(&workspaces[0]);
    for workspace in &workspaces {
        let turn = server.turn(workspace, "x");
        server.until(&turn, Some("here"));
    }
    (server, workspaces)
}

/// Checks that both turns told their ends in `messages`, and that no codex is left.
fn cancelled<'a>(messages: impl Iterator<Item = &'a Value>, workspaces: &[Workspace]) {
    let mut ended: Vec<&str> = messages
        .map(|message| {
            let event = serde_json::from_value(message["params"]["event"].clone()).unwrap();
            let Event::MessageEnd {
                stop_reason: StopReason::Aborted,
                ..
            } = event
            else {
                panic!("{message}")
            };
            message["params"]["turnId"].as_str().unwrap()
        })
        .collect();
    ended.sort_unstable();
    assert_eq!(ended, ["turn-1", "turn-2"]);
    nothing_runs(workspaces);
}

fn nothing_runs(workspaces: &[Workspace]) {
    for workspace in workspaces {
        assert!(!is_running(workspace.calls().unwrap()[0].pid));
    }
}

fn messages(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn shutdown_is_answered_when_every_turn_has_ended() {
    let (mut server, workspaces) = busy();
    let id = server.ask("shutdown", json!({}));
    // Standard input stays open.
    let stdin = server.stdin.take();
    let (code, stdout, stderr) = server.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let mut messages = messages(&stdout);
    let answer = messages.pop().unwrap();
    assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": id, "result": {} }));
    cancelled(messages.iter(), &workspaces);
    drop(stdin);
}

#[test]
fn during_a_shutdown_requests_are_refused() {
    let deaf = scripted([
        Step::IgnoreSignals { signals: vec![2] },
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        Step::Forever,
    ]);
    let mut server = Server::initialized(&deaf);
    let turn = server.turn(&deaf, "x");
    server.until(&turn, Some("here"));
    let shutdown = server.ask("shutdown", json!({}));
    for method in ["turn/start", "shutdown", "ping"] {
        assert_eq!(server.refused(method, json!({})), -32600, "{method}");
    }
    server.until(&turn, None);
    assert_eq!(server.answer(shutdown)["result"], json!({}));
    assert_eq!(server.end(), (Some(0), String::new(), String::new()));
}

#[test]
fn the_end_of_standard_input_is_a_shutdown() {
    let (mut server, workspaces) = busy();
    // A request just before the end is still answered, and needs no line feed.
    server.write(br#"{"jsonrpc":"2.0","id":"last","method":"ping"}"#);
    server.stdin = None;
    let (code, stdout, stderr) = server.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let (answers, events): (Vec<Value>, Vec<Value>) = messages(&stdout)
        .into_iter()
        .partition(|message| message["id"] == "last");
    assert_eq!(answers.len(), 1);
    cancelled(events.iter(), &workspaces);
}

#[test]
fn a_signal_is_a_shutdown() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let (mut server, workspaces) = busy();
        let stdin = server.stdin.take();
        server.signal(signal);
        let (code, stdout, stderr) = server.end();
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        cancelled(messages(&stdout).iter(), &workspaces);
        drop(stdin);
    }
}

#[test]
fn a_client_that_closes_standard_output_ends_everything_also_while_codex_is_silent() {
    let flood = Step::Flood {
        bytes: 1 << 40,
        line_len: 1024,
    };
    for last in [Step::Forever, flood] {
        let (mut server, workspaces) = busy_with(last);
        let stdin = server.stdin.take();
        server.stdout = None;
        let (code, _, stderr) = server.end();
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        nothing_runs(&workspaces);
        drop(stdin);
    }
}

#[test]
fn a_client_that_is_killed_leaves_nothing_behind() {
    let (mut server, workspaces) = busy();
    let server_id = server.id();
    // All that is left of a killed client: both pipes closed at once.
    (server.stdin, server.stdout) = (None, None);
    wait_until("the server has ended", || !is_running(server_id));
    nothing_runs(&workspaces);
}

#[test]
fn a_client_that_stops_reading_does_not_hold_up_the_end_forever() {
    let flood = Step::Flood {
        bytes: 1 << 40,
        line_len: 1024,
    };
    let (mut server, workspaces) = busy_with(flood);
    let (stdin, stdout) = (server.stdin.take(), server.stdout.take());
    server.signal(libc::SIGTERM);
    let (code, _, stderr) = server.end();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("not everything could be written"),
        "{stderr}"
    );
    nothing_runs(&workspaces);
    drop((stdin, stdout));
}

#[test]
fn a_server_that_cannot_begin_says_why_and_reads_nothing() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    workspace.configure(&json!({ "binery": "/x" })).unwrap();
    let (code, stdout, stderr) = Server::start(&workspace).end();
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("`binery`: unknown key"), "{stderr}");

    let mut command = Command::new(program());
    command.args(["serve", "--component", "/nowhere.wasm"]);
    let (code, _, stderr) = Server::spawn(&mut command).end();
    assert_eq!(code, Some(2));
    assert!(stderr.contains("/nowhere.wasm"), "{stderr}");
}

#[test]
fn calls_of_codex_are_recorded() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let record = workspace.outside("record.jsonl");
    let mut command = Command::new(program());
    command
        .arg("serve")
        .arg("--config")
        .arg(workspace.config())
        .arg("--record")
        .arg(&record)
        .env("XDG_STATE_HOME", workspace.state_home());
    let mut server = Server::spawn(&mut command);
    server.call("initialize", json!({ "protocolVersion": 1 }));
    let turn = server.turn(&workspace, "x");
    server.until(&turn, None);
    server.call("shutdown", json!({}));
    assert_eq!(std::fs::read_to_string(record).unwrap().lines().count(), 2);
}
