//! `say` at a terminal.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::json;

/// What the spinner shows beside its frames.
const AT_WORK: &str = "codex is at work";

/// What a terminal gets from a `say` in whose turn a tool runs until the spinner has been seen. None where there is no
/// program `script` to make a terminal.
fn shown(test: &str, no_color: Option<&str>) -> Option<String> {
    let fake_codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let item = |phase: &str, status: &str| {
        json!({"type": format!("item.{phase}"), "item": {
            "id": "item_1", "type": "command_execution", "command": "ls -l", "status": status,
        }})
        .to_string()
    };
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("half\u{1b}[2Jway"),
        Step::emit(item("started", "in_progress")),
        Step::emit(item("completed", "completed")),
        Step::wait_for_file("seen"),
        Step::message("done"),
        Step::TurnFailed {
            message: "no\u{1b}]52;c;cGFzdGU=\u{7}".to_owned(),
        },
        Step::Exit { code: 1 },
    ];
    let workspace = Workspace::scripted(fake_codex, [steps]).unwrap();
    // A turn that hangs fails the test and does not hang it.
    let mut command = Command::new("timeout");
    command
        .args(["300", "script"])
        .args(["--quiet", "--return", "--command"])
        .arg("stty cols 80; exec \"$PROGRAM\" say --workspace \"$WORKSPACE\" --config \"$CONFIG\" hello")
        .arg("/dev/null")
        .env("PROGRAM", program())
        .env("WORKSPACE", workspace.path())
        .env("CONFIG", workspace.config())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(no_color.map(|value| ("NO_COLOR", value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if Command::new("script").arg("--version").output().is_err() {
        tool::lacks(test, "there is no program `script`");
        return None;
    }
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut shown, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let count = stdout.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        shown.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap()));
        if let Some((_, after)) = shown.split_once("- ls -l")
            && after.contains(AT_WORK)
        {
            File::create(workspace.path().join("seen")).unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(1), "{shown:?}");
    Some(shown)
}

#[test]
fn a_spinner_turns_and_tools_are_one_dim_line_each() {
    let Some(shown) = shown("a_spinner_turns_and_tools_are_one_dim_line_each", None) else {
        return;
    };
    assert!(shown.contains("\u{1b}[2m- ls -l\u{1b}[0m\r\n"), "{shown:?}");
    // What the model wrote moves no cursor.
    assert!(shown.contains("half\\u{1b}[2Jway\r\n"), "{shown:?}");
    // The spinner is gone whenever something else is shown, and at the end.
    assert!(shown.contains("\u{1b}[2K\r\ndone\r\n"), "{shown:?}");
    let (_, after) = shown.split_once("done").unwrap();
    assert!(!after.contains(AT_WORK), "{shown:?}");
    // Nor does what the service or codex said of the failure.
    assert!(after.contains("no\\u{1b}]52;c;"), "{shown:?}");
    assert!(
        !after.contains('\u{7}') && !after.contains("\u{1b}]"),
        "{shown:?}"
    );
}

#[test]
fn no_color_is_respected() {
    let Some(shown) = shown("no_color_is_respected", Some("1")) else {
        return;
    };
    assert!(shown.contains("- ls -l\r\n"), "{shown:?}");
    assert!(!shown.contains("\u{1b}[2m"), "{shown:?}");
    assert!(shown.contains(AT_WORK), "{shown:?}");
}
