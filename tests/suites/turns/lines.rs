//! Lines of codex that no transcript has: what becomes of them, and that the turn goes on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;

use plexum_openai_provider::Event;
use plexum_openai_provider::framing::MAX_LINE_BYTES;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::{Value, json};

/// The events of a turn in which codex prints this before its answer, without those that every turn has.
fn turn(steps: impl IntoIterator<Item = Step>) -> Vec<Value> {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let mut all = vec![Step::ThreadStarted, Step::TurnStarted];
    all.extend(steps);
    all.extend([Step::message("hi"), Step::TurnCompleted]);
    let workspace = Workspace::scripted(codex, [all]).unwrap();
    let output = workspace.say(["--json", "--", "hello"]).output().unwrap();
    let said = Said::by(&output).unwrap();
    assert_eq!((said.code, said.text()), (Some(0), "hi".to_owned()));
    let ours = said.events.into_iter().filter(|event| {
        !matches!(
            event,
            Event::MessageStart { .. }
                | Event::TextDelta { .. }
                | Event::BlockEnd { .. }
                | Event::MessageEnd { .. }
        )
    });
    ours.map(|event| serde_json::to_value(event).unwrap())
        .collect()
}

/// Their members but `message`, of which a text in it is enough.
fn notices(events: Vec<Value>, words: &str) -> Vec<Value> {
    let without_message = |mut event: Value| {
        let message = event.as_object_mut().unwrap().remove("message").unwrap();
        assert!(message.as_str().unwrap().contains(words), "{message}");
        event
    };
    events.into_iter().map(without_message).collect()
}

#[test]
fn a_line_that_is_no_event_is_one_notice() {
    let events = turn([Step::emit("Segmentation fault"), Step::emit("{\"type\":")]);
    assert_eq!(
        notices(events, "Segmentation fault"),
        [json!({ "type": "notice", "kind": "line_malformed" })]
    );
}

#[test]
fn an_event_of_a_new_kind_is_one_notice_a_kind() {
    let events = turn([
        Step::emit(r#"{"type":"turn.paused"}"#),
        Step::emit(r#"{"type":"turn.paused"}"#),
        Step::emit(r#"{"type":"turn.hurried"}"#),
    ]);
    let unknown = |event| json!({ "type": "notice", "kind": "unknown_event", "event": event });
    assert_eq!(
        notices(events, "turn."),
        [unknown("turn.paused"), unknown("turn.hurried")]
    );
}

#[test]
fn a_line_that_is_too_long_is_left_out() {
    let bytes = MAX_LINE_BYTES as u64 + 1;
    let events = turn([Step::Flood {
        bytes,
        line_len: bytes + 1,
    }]);
    assert_eq!(
        notices(events, "longer than the limit"),
        [json!({ "type": "notice", "kind": "line_skipped", "bytes": bytes })]
    );
}

#[test]
fn a_tool_that_was_not_allowed_to_run_was_declined() {
    let item = |phase, status| {
        let item = json!({ "id": "item_0", "type": "command_execution", "command": "rm -rf /", "status": status });
        Step::emit(json!({ "type": phase, "item": item }).to_string())
    };
    let events = turn([
        item("item.started", "in_progress"),
        item("item.completed", "declined"),
    ]);
    assert_eq!(
        events,
        [
            json!({
                "type": "tool_start",
                "id": "item_0",
                "kind": "command",
                "title": "rm -rf /",
                "input": { "command": "rm -rf /" },
            }),
            json!({ "type": "tool_end", "id": "item_0", "status": "declined" }),
        ]
    );
}

#[test]
fn of_a_running_command_each_piece_of_output_comes_once() {
    let command = |phase: &str, output: &str, status: &str| {
        let item = json!({ "id": "item_0", "type": "command_execution", "command": "make",
            "aggregated_output": output, "status": status });
        Step::emit(json!({ "type": format!("item.{phase}"), "item": item }).to_string())
    };
    let events = turn([
        command("started", "", "in_progress"),
        command("updated", "one\n", "in_progress"),
        command("updated", "one\ntwo\n", "in_progress"),
        command("completed", "one\ntwo\nthree\n", "completed"),
    ]);
    let update = |delta| json!({ "type": "tool_update", "id": "item_0", "output_delta": delta });
    assert_eq!(events[1..3], [update("one\n"), update("two\n")]);
    assert_eq!(events[3]["output"], "one\ntwo\nthree\n");
    assert_eq!(events.len(), 4, "{events:?}");
}
