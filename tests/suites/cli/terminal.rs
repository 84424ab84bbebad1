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
use plexum_openai_provider_tests::tool as machine;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::json;

/// What the spinner shows beside its frames.
const AT_WORK: &str = "codex is at work";

fn tool(phase: &str, command: &str, status: &str) -> Step {
    let item = json!({ "id": "item_1", "type": "command_execution", "command": command, "status": status });
    Step::emit(json!({ "type": format!("item.{phase}"), "item": item }).to_string())
}

/// What a terminal of this many columns gets from a `say` whose turn has these steps, and whose output goes through the
/// rest of a command line. The file `seen` is made when `seen` says so of what was shown so far. None where there is no
/// program `script` to make a terminal.
fn at_terminal(
    test: &str,
    (columns, rest): (u16, &str),
    steps: Vec<Step>,
    no_color: Option<&str>,
    seen: impl Fn(&str) -> bool,
) -> Option<(String, Option<i32>)> {
    if Command::new("script").arg("--version").output().is_err() {
        machine::lacks(test, "there is no program `script`");
        return None;
    }
    let fake_codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::scripted(fake_codex, [steps]).unwrap();
    // A turn that hangs fails the test and does not hang it.
    let mut command = Command::new("timeout");
    command
        .args(["300", "script"])
        .args(["--quiet", "--return", "--command"])
        .arg(format!(
            "stty cols {columns}; \"$PROGRAM\" say --workspace \"$WORKSPACE\" --config \"$CONFIG\" hello {rest}"
        ))
        .arg("/dev/null")
        .env("PROGRAM", program())
        .env("WORKSPACE", workspace.path())
        .env("CONFIG", workspace.config())
        .env("XDG_STATE_HOME", workspace.state_home())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(no_color.map(|value| ("NO_COLOR", value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stdout.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(buffer.get(..count).unwrap());
        if seen(&String::from_utf8_lossy(&bytes)) {
            File::create(workspace.path().join("seen")).unwrap();
        }
    }
    let shown = String::from_utf8(bytes).unwrap();
    Some((shown, child.wait().unwrap().code()))
}

/// What a terminal gets from a `say` in whose turn a tool runs until the spinner has been seen, and that fails.
fn shown(test: &str, no_color: Option<&str>) -> Option<String> {
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("half\u{1b}[2Jway"),
        tool("started", "ls -l", "in_progress"),
        tool("completed", "ls -l", "completed"),
        Step::wait_for_file("seen"),
        Step::message("done"),
        Step::TurnFailed {
            message: "no\u{1b}]52;c;cGFzdGU=\u{7}".to_owned(),
        },
        Step::Exit { code: 1 },
    ];
    let seen = |shown: &str| {
        let after = shown.split_once("- ls -l").map(|(_, after)| after);
        after.is_some_and(|after| after.contains(AT_WORK))
    };
    let (shown, code) = at_terminal(test, (80, ""), steps, no_color, seen)?;
    assert_eq!(code, Some(1), "{shown:?}");
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

#[test]
fn an_answer_that_goes_through_a_pipe_shares_the_screen_with_no_spinner() {
    let test = "an_answer_that_goes_through_a_pipe_shares_the_screen_with_no_spinner";
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("There are two files:\n- notes.md\n- todo.md"),
        tool("started", "ls -l", "in_progress"),
        tool("completed", "ls -l", "completed"),
        Step::TurnCompleted,
    ];
    // With a spinner, it would be there below the line about the tool.
    let Some((shown, code)) = at_terminal(test, (80, "| cat"), steps, None, |_| false) else {
        return;
    };
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(shown.contains("- notes.md\r\n- todo.md"), "{shown:?}");
    assert!(shown.contains("- ls -l"), "{shown:?}");
    assert!(
        !shown.contains(AT_WORK) && !shown.contains("\u{1b}[2K"),
        "{shown:?}"
    );
}

#[test]
fn the_spinner_takes_one_line_however_wide_the_characters_are() {
    let test = "the_spinner_takes_one_line_however_wide_the_characters_are";
    let wide = format!("grep -r {} .", "設定".repeat(20));
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        tool("started", &wide, "in_progress"),
        Step::wait_for_file("seen"),
        tool("completed", &wide, "completed"),
        Step::message("done"),
        Step::TurnCompleted,
    ];
    // The line about the tool, and the spinner twice.
    let seen = |shown: &str| shown.matches("grep -r ").count() > 2;
    let Some((shown, code)) = at_terminal(test, (40, ""), steps, None, seen) else {
        return;
    };
    assert_eq!(code, Some(0), "{shown:?}");
    // Whatever the terminal takes for their width: it does not go on in another line, and so one line is to be erased.
    let spun = shown
        .split("\r\u{1b}[2K")
        .filter(|line| line.contains("s grep -r "));
    let spun: Vec<_> = spun.collect();
    assert!(!spun.is_empty(), "{shown:?}");
    for line in spun {
        assert!(
            line.starts_with("\u{1b}[?7l") && line.trim_end().ends_with("\u{1b}[?7h"),
            "{line:?}"
        );
    }
}
