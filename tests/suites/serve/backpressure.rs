//! A client that does not read costs the server no memory, and loses nothing.

use std::fs;
use std::mem;
use std::thread;
use std::time::Duration;

use plexum_openai_provider_tests::fake_codex::{Script, Step};
use plexum_openai_provider_tests::wait::wait_until;
use plexum_openai_provider_tests::workspace::Workspace;
use serde_json::{Value, json};

use super::client::{Server, fake_codex};

const LINES: u64 = 5000;
const LINE_BYTES: u64 = 40_000;
const FLOOD_BYTES: u64 = LINES * LINE_BYTES;
const EVENT: &str =
    r#"{"jsonrpc":"2.0","method":"turn/event","params":{"turnId":"turn-1","event":{"type":"#;
const MEMORY_BYTES: u64 = 150_000_000;

#[test]
fn a_flood_waits_for_a_client_that_stops_reading() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let flood = workspace.outside("flood.jsonl");
    fs::write(&flood, lines()).unwrap();
    let steps = [
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        Step::EmitFile {
            path: flood,
            own_thread: false,
        },
        Step::touch("flooded"),
        Step::TurnCompleted,
    ];
    Script::new()
        .call(steps)
        .write_to(workspace.path())
        .unwrap();
    let mut server = Server::initialized(&workspace);
    let turn = server.turn(&workspace, "x");
    server.until(&turn, Some("here"));
    let id = server.ask("ping", json!({}));

    // Nothing is read from here on. That nothing moves any more gives no signal.
    let mut taken = 0;
    let mut unmoved = 0;
    wait_until("codex is held up", || {
        thread::sleep(Duration::from_millis(100));
        let before = mem::replace(&mut taken, field(server.id(), "io", "rchar:"));
        unmoved = if taken == before { unmoved + 1 } else { 0 };
        unmoved == 10
    });
    assert!(taken < FLOOD_BYTES / 4, "{taken} bytes were swallowed");
    assert!(!workspace.path().join("flooded").exists());
    let memory = field(server.id(), "status", "VmHWM:") * 1024;
    assert!(
        memory < MEMORY_BYTES,
        "{memory} bytes for {taken} of output"
    );

    // The answer does not stand behind all that waits.
    let mut before_the_answer = 0;
    let mut answered = false;
    let mut outputs = 0;
    let end = loop {
        let line = server.read();
        // To parse all of this would take most of the test's time.
        let tool_end = format!(r#"{EVENT}"tool_end","id":"item_{outputs}","#);
        if line.starts_with(&tool_end) {
            assert!(line.len() as u64 > LINE_BYTES - 200);
            outputs += 1;
        } else if !line.starts_with(EVENT) {
            let answer: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(answer["id"], id);
            answered = true;
        } else if line.contains(r#""message_end""#) {
            break line;
        }
        if !answered {
            before_the_answer += line.len();
        }
    };
    assert!(end.contains(r#""stop_reason":"end_turn""#), "{end}");
    assert!(
        answered && before_the_answer < 10_000_000,
        "{before_the_answer} bytes came first"
    );
    assert!(workspace.path().join("flooded").exists());
    assert_eq!(outputs, LINES);
    let memory = field(server.id(), "status", "VmHWM:") * 1024;
    assert!(memory < MEMORY_BYTES, "{memory} bytes in the end");
    server.call("shutdown", json!({}));
}

/// Finished commands. Messages would not do: the component remembers the text of a turn, so that what codex
/// repeats after a broken connection is not told twice.
fn lines() -> String {
    let mut lines = String::new();
    for number in 0..LINES {
        let item = |output: &str| {
            json!({ "type": "item.completed", "item": {
                "id": format!("item_{number}"),
                "type": "command_execution",
                "command": "cat",
                "aggregated_output": output,
                "exit_code": 0,
                "status": "completed",
            }})
        };
        let rest = item("").to_string().len() as u64 + 1;
        let output = "x".repeat(usize::try_from(LINE_BYTES - rest).unwrap());
        lines.push_str(&item(&output).to_string());
        lines.push('\n');
    }
    lines
}

/// A number from a file of a process in `/proc`.
fn field(pid: i32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}
