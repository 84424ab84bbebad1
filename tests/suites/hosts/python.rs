//! The very same component in Python (`host-shim/examples/python`), in a host of one file.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use plexum_openai_provider::COMPONENT;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::tool::python;
use plexum_openai_provider_tests::workspace::Workspace;
use serde_json::{Value, json};

const HOST: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host-shim/examples/python/host.py"
);
const CODEX: &str = env!("CARGO_BIN_EXE_fake-codex");

#[test]
fn a_turn_in_python_reports_what_say_json_reports() {
    let Some(python) = python("a_turn_in_python_reports_what_say_json_reports") else {
        return;
    };
    let command = json!({ "type": "item.completed", "item": { "id": "item_0", "type": "command_execution",
        "command": "x", "aggregated_output": "a-b", "exit_code": 3, "status": "failed" } });
    let completed = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::emit(command.to_string()),
        Step::Echo,
        Step::TurnCompleted,
    ];
    let failed = Step::failed_turn("unexpected status 401 Unauthorized").to_vec();
    for (steps, code) in [(completed, 0), (failed, 1)] {
        let workspace = Workspace::scripted(Path::new(CODEX), [steps]).unwrap();
        let component = workspace.outside("component.wasm");
        std::fs::write(&component, COMPONENT).unwrap();
        let in_python = || {
            let mut command = Command::new(&python);
            command
                .arg(HOST)
                .arg("--component")
                .arg(&component)
                .arg("--config")
                .arg(workspace.config())
                .arg("--workspace")
                .arg(workspace.path())
                .args(["--", "zwölf"])
                .stdin(Stdio::null());
            command.output().unwrap()
        };
        let first = in_python();
        let ours = workspace.say(["--json", "--", "zwölf"]).output().unwrap();
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
