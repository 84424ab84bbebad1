//! Codex's words in other shapes than usual: glued to other text, behind other lines, as arrays, in halves. Nothing of it
//! makes an empty success, and no conversation is lost by it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;

use plexum_openai_provider::framing::MAX_LINE_BYTES;
use plexum_openai_provider::{Event, FailureKind, NoticeKind, StopReason};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::{Value, json};

const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

fn opening() -> String {
    json!({ "type": "thread.started", "thread_id": ID }).to_string()
}

fn workspace(steps: Vec<Step>) -> Workspace {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    Workspace::scripted(codex, [steps]).unwrap()
}

/// A turn in which codex does this.
fn turn(steps: Vec<Step>) -> Said {
    workspace(steps).turn(None, "hello").unwrap()
}

fn notices(said: &Said) -> Vec<&NoticeKind> {
    let kinds = said.events.iter().filter_map(|event| match event {
        Event::Notice { kind, .. } => Some(kind),
        _ => None,
    });
    kinds.collect()
}

fn answer(text: &Value) -> Step {
    let item = json!({ "id": "item_0", "type": "agent_message", "text": text });
    Step::emit(json!({ "type": "item.completed", "item": item }).to_string())
}

#[test]
fn text_in_front_of_the_first_event_costs_nothing() {
    for glued in [
        "\u{1b}]0;codex\u{7}",
        "\u{feff}",
        "\0",
        "Now using node v22.1.0 ",
        "{}",
    ] {
        let workspace = workspace(vec![
            Step::emit(format!("{glued}{}", opening())),
            Step::TurnStarted,
            Step::message("hi"),
            Step::TurnCompleted,
        ]);
        let said = workspace.turn(None, "hello").unwrap();
        assert_eq!(said.start(), Some((ID, false)), "{glued:?}: {said:?}");
        assert_eq!((said.code, said.text().as_str()), (Some(0), "hi"));
        assert_eq!(notices(&said), [&NoticeKind::LineMalformed], "{glued:?}");
        assert_eq!(workspace.session().unwrap().as_deref(), Some(ID));
    }
}

#[test]
fn any_number_of_lines_may_come_before_the_first_event() {
    let warning = json!({ "type": "item.completed", "item": { "id": "item_0", "type": "error", "message": "old" } });
    for line in [
        "Found '/home/x/.nvmrc' with version <22>",
        &warning.to_string(),
    ] {
        for count in [1, 2, 3, 50] {
            let mut steps = vec![Step::emit(line); count];
            steps.extend([
                Step::emit(opening()),
                Step::TurnStarted,
                Step::message("hi"),
                Step::TurnCompleted,
            ]);
            let workspace = workspace(steps);
            let said = workspace.turn(None, "hello").unwrap();
            assert_eq!(said.code, Some(0), "{count} of {line}: {said:?}");
            assert_eq!(
                workspace.session().unwrap().as_deref(),
                Some(ID),
                "{count} of {line}"
            );
        }
    }
}

#[test]
fn an_answer_is_shown_in_whatever_shape_it_comes() {
    for (text, shown) in [
        (json!("hi"), "hi"),
        (json!(["a", "b"]), "ab"),
        (
            json!([{ "type": "output_text", "text": "a" }, { "text": "b" }]),
            "ab",
        ),
        (json!({ "value": "a" }), r#"{"value":"a"}"#),
        (json!(7), "7"),
    ] {
        let said = turn(vec![
            Step::ThreadStarted,
            Step::TurnStarted,
            answer(&text),
            Step::TurnCompleted,
        ]);
        assert_eq!(
            (said.code, said.text().as_str()),
            (Some(0), shown),
            "{text}: {said:?}"
        );
    }
}

#[test]
fn half_a_character_costs_itself_only() {
    let line = r#"{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"a\ud83db \ud83e\udd80"}}"#;
    let said = turn(vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::emit(line),
        Step::TurnCompleted,
    ]);
    assert_eq!(
        (said.code, said.text().as_str()),
        (Some(0), "a\u{fffd}b 🦀"),
        "{said:?}"
    );
    assert!(notices(&said).is_empty());
}

#[test]
fn a_completed_turn_whose_answer_cannot_be_read_is_not_a_success() {
    let long = "x".repeat(MAX_LINE_BYTES);
    for line in [
        answer(&json!(long)),
        Step::emit(
            r#"{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"half an"#,
        ),
    ] {
        let said = turn(vec![
            Step::ThreadStarted,
            Step::TurnStarted,
            line.clone(),
            Step::TurnCompleted,
        ]);
        assert_eq!(said.failure_kind(), Some(FailureKind::Protocol), "{said:?}");
        assert_eq!((said.code, notices(&said).len()), (Some(1), 1), "{said:?}");
        // What was spent was spent.
        assert!(said.usage().0.is_some(), "{said:?}");
        // With another answer beside it, the notice is enough.
        let said = turn(vec![
            Step::ThreadStarted,
            Step::TurnStarted,
            line,
            Step::message("the answer"),
            Step::TurnCompleted,
        ]);
        assert_eq!((said.code, notices(&said).len()), (Some(0), 1), "{said:?}");
    }
}

#[test]
fn a_turn_without_an_answer_may_be_a_success() {
    let said = turn(vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::TurnCompleted,
    ]);
    assert_eq!((said.code, notices(&said).len()), (Some(0), 0), "{said:?}");
}

#[test]
fn a_thread_that_is_never_named_is_said_not_to_be_kept() {
    let workspace = workspace(vec![
        Step::TurnStarted,
        Step::message("hi"),
        Step::TurnCompleted,
    ]);
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.events.iter().any(|event| matches!(event,
        Event::Notice { kind: NoticeKind::Warning, message, .. } if message.contains("is not kept"))), "{said:?}");
    assert_eq!(workspace.session().unwrap(), None);
}

#[test]
fn why_a_turn_failed_is_told_in_whatever_shape_it_comes() {
    for (error, kind, told) in [
        (
            json!({ "message": "no luck" }),
            FailureKind::InvalidRequest,
            "no luck",
        ),
        (json!("no luck"), FailureKind::InvalidRequest, "no luck"),
        (
            json!({ "code": 7 }),
            FailureKind::InvalidRequest,
            r#"{"code":7}"#,
        ),
        (Value::Null, FailureKind::Protocol, "not why"),
    ] {
        let failed = json!({ "type": "turn.failed", "error": error }).to_string();
        let said = turn(vec![
            Step::ThreadStarted,
            Step::TurnStarted,
            Step::emit(failed),
            Step::Exit { code: 1 },
        ]);
        assert_eq!(said.failure_kind(), Some(kind), "{error}: {said:?}");
        assert!(
            said.failure().unwrap().message.contains(told),
            "{error}: {said:?}"
        );
    }
}

#[test]
fn a_crash_is_not_somebody_who_stopped_the_turn() {
    for (signal, kind) in [
        (libc::SIGSEGV, FailureKind::Protocol),
        (libc::SIGILL, FailureKind::Protocol),
        (libc::SIGBUS, FailureKind::Protocol),
        (libc::SIGABRT, FailureKind::Protocol),
        (libc::SIGKILL, FailureKind::Killed),
        (libc::SIGTERM, FailureKind::Killed),
    ] {
        let said = turn(vec![
            Step::ThreadStarted,
            Step::TurnStarted,
            Step::KillSelf { signal },
        ]);
        let failure = said.failure().unwrap();
        assert_eq!(failure.kind, kind, "signal {signal}: {said:?}");
        assert_eq!(
            failure.retryable,
            kind == FailureKind::Killed,
            "signal {signal}"
        );
    }
}

#[test]
fn what_ran_out_decides_and_not_where_it_ran_out() {
    for stderr in [
        "Error: failed to initialize in-process app-server client: No space left on device (os error 28)\n",
        "Error: Too many open files (os error 24)\n",
        "Error: Cannot allocate memory (os error 12)\n\nStack backtrace:\n   0: <unknown>\n",
    ] {
        let said = turn(vec![
            Step::Stderr {
                text: stderr.into(),
            },
            Step::Exit { code: 1 },
        ]);
        let failure = said.failure().unwrap();
        assert_eq!(
            (failure.kind, failure.retryable),
            (FailureKind::Resources, true),
            "{stderr}: {said:?}"
        );
        assert!(!failure.message.contains("config"), "{failure:?}");
    }
    let npm = "file:///a/codex.js:108\n    throw new Error(\n          ^\n\nError: Missing optional dependency @openai/codex-linux-x64. Reinstall Codex: npm install -g @openai/codex@latest\n    at file:///a/codex.js:108:11\n\nNode.js v22.1.0\n";
    let said = turn(vec![
        Step::Stderr { text: npm.into() },
        Step::Exit { code: 1 },
    ]);
    assert_eq!(
        said.failure_kind(),
        Some(FailureKind::NotInstalled),
        "{said:?}"
    );
    let message = &said.failure().unwrap().message;
    assert!(
        message.contains("Missing optional dependency") && !message.contains("at file"),
        "{message}"
    );
}

#[test]
fn many_kinds_and_many_tools_cost_what_they_are_and_not_their_square() {
    // In a debug build, a quadratic component would take minutes for this.
    let kinds = (0..20_000).map(|n| Step::emit(format!(r#"{{"type":"kind.{n}"}}"#)));
    let tools = (0..20_000).map(|n| {
        Step::emit(format!(
            r#"{{"type":"item.started","item":{{"id":"t{n}","type":"command_execution","command":"ls","status":"in_progress"}}}}"#
        ))
    });
    let mut steps = vec![Step::ThreadStarted, Step::TurnStarted];
    steps.extend(kinds.chain(tools));
    steps.extend([Step::message("hi"), Step::TurnCompleted]);
    let said = turn(steps);
    let Some(Event::MessageEnd { stop_reason, .. }) = said.events.last() else {
        panic!("no end")
    };
    assert_eq!(*stop_reason, StopReason::EndTurn);
    assert_eq!(notices(&said).len(), 20_000);
}
