//! The very same component in Python (`host-shim/examples/python`), in a host of one file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::path::Path;
use std::process::Output;

use plexum_openai_provider::{Event, FailureKind};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::attack::warns;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::python_host::PythonHost;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use plexum_openai_provider_tests::{real_codex, whole_request};
use serde_json::{Value, json};

const CODEX: &str = env!("CARGO_BIN_EXE_fake-codex");

#[test]
fn a_turn_in_python_reports_what_say_json_reports() {
    let Some(host) = PythonHost::get("a_turn_in_python_reports_what_say_json_reports") else {
        return;
    };
    let command = json!({ "type": "item.completed", "item": { "id": "item_0", "type": "command_execution",
        "command": "x", "aggregated_output": "a-b", "exit_code": 3, "status": "failed" } });
    let plan = json!({ "type": "item.completed", "item": { "id": "item_1", "type": "todo_list",
        "items": [{ "text": "a-b", "completed": false }] } });
    let completed = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::emit(command.to_string()),
        Step::emit(plan.to_string()),
        Step::emit(r#"{"type":"a.new-one"}"#),
        Step::emit("not an event"),
        Step::Echo,
        Step::TurnCompleted,
    ];
    let failed = Step::failed_turn("unexpected status 401 Unauthorized").to_vec();
    for (steps, code) in [(completed, 0), (failed, 1)] {
        let workspace = Workspace::scripted(Path::new(CODEX), [steps]).unwrap();
        for options in [&[][..], &["--session", "../a"]] {
            let in_python = || host.say(&workspace, options, "zwölf").output().unwrap();
            let arguments = [&["--json"], options, &["--", "zwölf"]].concat();
            let first = in_python();
            let ours = workspace.say(arguments).output().unwrap();
            let resumed = in_python();
            for output in [&first, &resumed] {
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(code), "{stderr}");
            }
            // The thread's totals differ from turn to turn, and nothing else does.
            assert_eq!(without_totals(&resumed), without_totals(&ours));
            let start = &without_totals(&first)[0];
            assert_eq!(start["resumed"], false);
            assert_eq!(start["thread_id"], without_totals(&ours)[0]["thread_id"]);
        }
    }
}

/// The events that were printed, without the running totals of the thread.
fn without_totals(output: &Output) -> Vec<Value> {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let mut events: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let end = events.last_mut().and_then(Value::as_object_mut).unwrap();
    end.remove("thread_usage");
    events
}

#[test]
fn what_the_component_may_not_ask_for_is_refused_in_python_too() {
    let Some(host) = PythonHost::get("what_the_component_may_not_ask_for_is_refused_in_python_too")
    else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [Step::turn("hi").to_vec()]).unwrap();
    // It fits as the component quotes it, on many lines, and not on one.
    let long = "\n".repeat(100_000);
    let mut say = host.say(&workspace, &["--instructions", &long], "hi");
    let said = Said::by(&say.output().unwrap()).unwrap();
    assert_eq!(said.failure_kind(), Some(FailureKind::Denied), "{said:?}");
    assert!(workspace.calls().unwrap().is_empty());
}

#[test]
fn without_a_codex_that_stays_it_says_so_and_uses_exec() {
    let Some(host) = PythonHost::get("without_a_codex_that_stays_it_says_so_and_uses_exec") else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [Step::turn("hi").to_vec()]).unwrap();
    let config =
        json!({ "binary": CODEX, "transport": "app-server", "server": { "processes": 1 } });
    workspace.configure(&config).unwrap();
    let said = Said::by(&host.say(&workspace, &[], "hi").output().unwrap()).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(warns(&said.events, "keeps no codex"), "{said:?}");
    assert_eq!(workspace.calls().unwrap().len(), 1);
}

#[test]
fn instructions_can_be_ignored() {
    let Some(host) = PythonHost::get("instructions_can_be_ignored") else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [Step::turn("hi").to_vec()]).unwrap();
    let config = json!({ "binary": CODEX, "instructions": "ignore",
        "supported_models": [{ "id": "codex", "display_name": "Codex", "efforts": ["low"] }] });
    workspace.configure(&config).unwrap();
    let options = ["--instructions", "be kind", "--effort", "low"];
    let said = Said::by(&host.say(&workspace, &options, "hi").output().unwrap()).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let is_notice = |event: &&Event| matches!(event, Event::Notice { .. });
    assert_eq!(said.events.iter().filter(is_notice).count(), 1, "{said:?}");
    let argv = &workspace.calls().unwrap()[0].argv;
    let expected = ["--json", "-c", "model_reasoning_effort=\"low\"", "--", "hi"];
    assert_eq!(argv[argv.len() - 5..], expected);
    let options = ["--effort", "high"];
    let said = Said::by(&host.say(&workspace, &options, "hi").output().unwrap()).unwrap();
    assert_eq!(said.failure_kind(), Some(FailureKind::InvalidRequest));
}

#[test]
fn the_model_gets_what_the_request_holds() {
    let Some(host) = PythonHost::get("the_model_gets_what_the_request_holds") else {
        return;
    };
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let say = |options: &[&str], prompt: &str| host.say(&agent.workspace, options, prompt);
        if let Err(error) = whole_request::check(&agent, say) {
            panic!("{}: {error:#}", codex.version);
        }
    }
}
