//! A codex that stays and answers something else than it was asked for, or nothing: the turn ends as a failure that says
//! what was wrong, and nothing is left.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plexum_openai_provider::FailureKind;
use plexum_openai_provider_tests::census::processes_below;
use plexum_openai_provider_tests::fake_codex::{ServerScript, Step};
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// All clocks of a turn together, and twenty processes that start at once on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn workspace(script: &ServerScript) -> Workspace {
    workspace_where(5, script)
}

fn workspace_where(start_seconds: u32, script: &ServerScript) -> Workspace {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::new(codex).unwrap();
    let limits = json!({
        "start_seconds": start_seconds, "idle_seconds": 3, "end_seconds": 2, "grace_seconds": 1, "output_mib": 16,
    });
    let config = json!({ "binary": codex, "transport": "app-server", "limits": limits });
    workspace.configure(&config).unwrap();
    script.write_to(workspace.path()).unwrap();
    workspace
}

/// What is wrong, and what is said of it.
struct Lie {
    name: &'static str,
    method: &'static str,
    steps: Vec<Step>,
    kind: FailureKind,
    said: &'static str,
}

fn lie(
    name: &'static str,
    method: &'static str,
    steps: impl IntoIterator<Item = Step>,
    kind: FailureKind,
    said: &'static str,
) -> Lie {
    Lie {
        name,
        method,
        steps: steps.into_iter().collect(),
        kind,
        said,
    }
}

/// What a codex that tells the truth answers when it has opened a thread.
const OPENED: &str = r#"{"thread":{"id":$THREAD},"cwd":$CWD,"approvalPolicy":"never","sandbox":{"type":"dangerFullAccess"}}"#;

fn answers(result: &str) -> [Step; 1] {
    [Step::emit(format!("{{\"id\":$ID,\"result\":{result}}}"))]
}

/// That answer, with another value in it.
fn opened(changed: &str, by: &str) -> [Step; 1] {
    assert!(OPENED.contains(changed), "{changed}");
    answers(&OPENED.replace(changed, by))
}

/// That answer, with none or some of its characters replaced, or with more behind them.
fn garbled() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "",
        "",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "0",
        "null",
        "\\",
        "\\u0000",
        "/..",
        " ",
        "x",
        "\"id\":\"x\",",
        "\"cwd\":\"/\",",
        "\"type\":\"readOnly\",",
        "readOnly",
    ]);
    // In its place, or behind it.
    vec((any::<Index>(), any::<bool>(), pieces), 0..3).prop_map(|changes| {
        let mut garbled: Vec<String> = OPENED.chars().map(String::from).collect();
        for (place, replaces, piece) in changes {
            let character = &mut garbled[place.index(OPENED.len())];
            if replaces {
                character.clear();
            }
            character.push_str(piece);
        }
        garbled.concat()
    })
}

const SILENT: &str = "does not answer within 5 s";

fn lies() -> Vec<Lie> {
    use FailureKind as Kind;
    let start = "thread/start";
    let late = Kind::StartTimeout;
    let other = Kind::Internal;
    let (accepted, began) = (Step::turn_accepted, Step::turn_started);
    let over = |thread: &str, turn: &str| {
        let end = format!(
            r#"{{"method":"turn/completed","params":{{"threadId":{thread},"turn":{{"id":{turn},"status":"completed"}}}}}}"#
        );
        [accepted(), began(), Step::emit(end)]
    };
    let request = r#"{"id":7,"method":"item/tool/call","params":{}}"#;
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let huge = format!(
        "{{\"id\":$ID,\"result\":{{\"x\":\"{}\"}}}}",
        "x".repeat(9 << 20)
    );
    vec![
        lie(
            "another sandbox",
            start,
            opened("dangerFullAccess", "readOnly"),
            other,
            "in the sandbox `readOnly`",
        ),
        lie(
            "another policy",
            start,
            opened("never", "on-request"),
            other,
            "it waits for approvals",
        ),
        lie(
            "another folder",
            start,
            opened("$CWD", "\"/\""),
            other,
            "it works in another folder",
        ),
        lie(
            "a name for an id",
            start,
            opened("$THREAD", "\"../../x\""),
            other,
            "its thread has no id",
        ),
        lie(
            "no thread",
            start,
            opened("\"id\":$THREAD", ""),
            other,
            "its answer is not understood",
        ),
        lie(
            "nested",
            start,
            opened("{\"type\":\"dangerFullAccess\"}", &nested),
            other,
            "its answer is not understood",
        ),
        lie(
            "no result",
            start,
            [Step::emit(r#"{"id":$ID}"#)],
            Kind::InvalidRequest,
            "the answer holds nothing",
        ),
        lie(
            "an error",
            start,
            [Step::emit(
                r#"{"id":$ID,"error":{"code":-1,"message":"I do not want to"}}"#,
            )],
            Kind::InvalidRequest,
            "I do not want to (code -1)",
        ),
        lie(
            "huge",
            start,
            [Step::emit(huge)],
            other,
            "too long to be read",
        ),
        lie(
            "another id",
            start,
            [Step::emit(r#"{"id":4711,"result":$RESULT}"#)],
            late,
            SILENT,
        ),
        lie(
            "an id that is a text",
            start,
            [Step::emit(r#"{"id":"$ID","result":$RESULT}"#)],
            late,
            SILENT,
        ),
        lie(
            "no id",
            start,
            [Step::emit(r#"{"result":$RESULT}"#)],
            late,
            SILENT,
        ),
        lie(
            "not JSON",
            start,
            [Step::emit(r#"{"id":$ID,"result":"#)],
            late,
            SILENT,
        ),
        lie(
            "two ids",
            start,
            [Step::emit(r#"{"id":$ID,"id":$ID,"result":$RESULT}"#)],
            late,
            SILENT,
        ),
        lie("no answer", start, [], late, SILENT),
        lie(
            "requests without end",
            start,
            [Step::Repeat {
                line: request.into(),
                times: u64::MAX,
            }],
            late,
            SILENT,
        ),
        lie(
            "chatter without end",
            start,
            [Step::Repeat {
                line: r#"{"method":"x/y","params":{}}"#.into(),
                times: u64::MAX,
            }],
            late,
            SILENT,
        ),
        lie(
            "closes its output",
            start,
            [Step::CloseStdout, Step::Forever],
            Kind::Protocol,
            "it closed its output and did not end",
        ),
        lie(
            "ends",
            start,
            [Step::Exit { code: 3 }],
            Kind::Protocol,
            "exit code 3",
        ),
        lie("no answer to the prompt", "turn/start", [], late, SILENT),
        lie(
            "refuses the prompt",
            "turn/start",
            [Step::emit(
                r#"{"id":$ID,"error":{"code":-32602,"message":"not this one"}}"#,
            )],
            Kind::InvalidRequest,
            "not this one (code -32602)",
        ),
        lie(
            "completes another turn",
            "turn/start",
            over("$THREAD", "\"other\""),
            Kind::IdleTimeout,
            "printed nothing",
        ),
        lie(
            "completes another thread's turn",
            "turn/start",
            over("\"other\"", "$TURN"),
            Kind::IdleTimeout,
            "printed nothing",
        ),
        lie(
            "requests without end in a turn",
            "turn/start",
            [
                accepted(),
                began(),
                Step::Repeat {
                    line: request.into(),
                    times: u64::MAX,
                },
            ],
            Kind::IdleTimeout,
            "printed nothing",
        ),
        lie(
            "chatter without end in a turn",
            "turn/start",
            [
                accepted(),
                began(),
                Step::Repeat {
                    line: r#"{"method":"thread/x","params":{}}"#.into(),
                    times: u64::MAX,
                },
            ],
            Kind::Protocol,
            "limits.output_mib",
        ),
        lie(
            "closes its output in a turn",
            "turn/start",
            [accepted(), began(), Step::CloseStdout, Step::Forever],
            Kind::Protocol,
            "it closed its output and did not end",
        ),
        lie(
            "ends in a turn",
            "turn/start",
            [accepted(), began(), Step::Exit { code: 3 }],
            Kind::Protocol,
            "exit code 3",
        ),
    ]
}

fn check(name: &str, workspace: &Workspace, said: &Said, kind: FailureKind, words: &str) {
    let Some(failure) = said.failure() else {
        panic!("{name}: {said:?}");
    };
    assert!(failure.message.contains(words), "{name}: {failure:?}");
    assert_eq!(failure.kind, kind, "{name}: {failure:?}");
    let left = processes_below(workspace.path());
    assert!(left.is_empty(), "{name}: {left:?}");
}

#[test]
fn what_is_not_what_was_asked_for_ends_the_turn() {
    std::thread::scope(|scope| {
        for lie in lies() {
            scope.spawn(move || {
                let workspace = workspace(&ServerScript::default().answer(lie.method, lie.steps));
                let began = Instant::now();
                let said = workspace.turn(None, "hello").unwrap();
                let took = began.elapsed();
                assert!(took < SOON, "{}: {took:?}", lie.name);
                check(lie.name, &workspace, &said, lie.kind, lie.said);
            });
        }
    });
}

#[test]
fn an_answer_that_was_garbled_ends_the_turn_unless_it_says_the_same() {
    // The same ones each time.
    let mut runner = TestRunner::deterministic();
    let garbled = garbled();
    let all = (0..64).map(|_| garbled.new_tree(&mut runner).unwrap().current());
    let went_on = AtomicUsize::new(0);
    side_by_side(all.collect::<Vec<_>>(), |result| {
        let script = ServerScript::default().answer("thread/start", answers(&result));
        let workspace = workspace_where(1, &script);
        let said = workspace.turn(None, "hello").unwrap();
        let left = processes_below(workspace.path());
        assert!(left.is_empty(), "{result}: {left:?}");
        if said.failure().is_some() {
            return;
        }
        went_on.fetch_add(1, Ordering::Relaxed);
        let said_so = result
            .replace("$THREAD", "\"thread\"")
            .replace("$CWD", "\"workspace\"");
        let opened: Value = serde_json::from_str(&said_so).unwrap();
        for (pointer, expected) in [
            ("/thread/id", "thread"),
            ("/cwd", "workspace"),
            ("/approvalPolicy", "never"),
            ("/sandbox/type", "dangerFullAccess"),
        ] {
            let found = opened.pointer(pointer).and_then(Value::as_str);
            assert_eq!(found, Some(expected), "{result}");
        }
    });
    let went_on = went_on.into_inner();
    assert!(went_on > 0 && went_on < 60, "{went_on}");
}

#[test]
fn another_thread_than_the_stored_one_is_not_gone_on_with() {
    let honest = ServerScript::default();
    let workspace = workspace(&honest);
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(said.text(), "echo: hello", "{said:?}");
    let thread_id = workspace.session().unwrap().unwrap();
    let other = "\"01a20000-0000-7000-8000-000000000001\"";
    let lies = honest.answer("thread/resume", opened("$THREAD", other));
    lies.write_to(workspace.path()).unwrap();
    let said = workspace.turn(None, "go on").unwrap();
    let words = "it is another thread";
    check(
        "another thread",
        &workspace,
        &said,
        FailureKind::Internal,
        words,
    );
    assert_eq!(workspace.session().unwrap(), Some(thread_id));
}

/// One that does not do what it is told is ended, and the turn with it.
#[test]
fn one_that_ignores_an_interrupt_is_ended() {
    let begins = [Step::turn_accepted(), Step::turn_started()];
    let script = ServerScript::default().answer("turn/start", begins).answer(
        "turn/interrupt",
        [
            Step::IgnoreSignals {
                signals: vec![libc::SIGINT],
            },
            Step::Forever,
        ],
    );
    let workspace = workspace(&script);
    let said = workspace.turn(None, "hello").unwrap();
    check(
        "deaf",
        &workspace,
        &said,
        FailureKind::IdleTimeout,
        "printed nothing",
    );
}
