//! `fake-codex` as a host would start it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use plexum_openai_provider_tests::fake_codex::{
    ChildGroup, EXIT_SCRIPT, EXIT_USAGE, SCRIPT_FILE, Script, Stdin, Step, Usage, calls, children,
};
use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const THREAD: &str = "01a20459-1490-7bf3-b2e1-4d675dab2915";

fn fake_codex(workspace: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-codex"));
    command
        .current_dir(workspace)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .default_signals();
    command
}

/// Plays `script` once with the prompt `hello`.
fn play(steps: impl IntoIterator<Item = Step>) -> (TempDir, Output) {
    let workspace = tempfile::tempdir().unwrap();
    Script::new()
        .call(steps)
        .write_to(workspace.path())
        .unwrap();
    let output = fake_codex(workspace.path(), &["exec", "--json", "--", "hello"])
        .output()
        .unwrap();
    (workspace, output)
}

fn events(output: &Output) -> Vec<Value> {
    std::str::from_utf8(&output.stdout)
        .unwrap()
        .split_terminator('\n')
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn it_says_which_version_it_is() {
    let workspace = tempfile::tempdir().unwrap();
    let output = fake_codex(workspace.path(), &["--version"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"codex-cli 0.169.0\n");
    assert!(calls(workspace.path()).unwrap().is_empty());
}

#[test]
fn without_a_script_it_echoes_and_keeps_the_totals_of_a_thread() {
    let workspace = tempfile::tempdir().unwrap();
    let turn = |arguments: &[&str]| {
        let output = fake_codex(workspace.path(), arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        events(&output)
    };
    let first = turn(&["exec", "--json", "--", "one"]);
    let thread = first[0]["thread_id"].as_str().unwrap();
    assert_eq!(first[2]["item"]["text"], "echo: one");
    assert_eq!(first[3]["usage"]["input_tokens"], 1200);

    let second = turn(&["exec", "resume", thread, "--json", "--", "two"]);
    assert_eq!(second[0]["thread_id"], thread);
    assert_eq!(second[3]["usage"]["input_tokens"], 2400);
    assert_eq!(second[3]["usage"]["reasoning_output_tokens"], 14);

    // As in the real one, what is not an id starts a new thread.
    let third = turn(&["exec", "resume", "no-id", "--json", "--", "three"]);
    assert_ne!(third[0]["thread_id"], thread);
    assert_eq!(third[3]["usage"]["input_tokens"], 1200);
}

#[test]
fn every_call_is_recorded() {
    let workspace = tempfile::tempdir().unwrap();
    let status = fake_codex(workspace.path(), &["exec", "--", "one"])
        .env("CODEX_SOMETHING", "secret")
        .status()
        .unwrap();
    assert!(status.success());
    let mut child = fake_codex(workspace.path(), &["exec", "--json", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    write!(child.stdin.take().unwrap(), "two\nlines").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(events(&output)[2]["item"]["text"], "echo: two\nlines");

    let calls = calls(workspace.path()).unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].argv, ["exec", "--", "one"]);
    assert_eq!((calls[0].stdin, &calls[0].stdin_text), (Stdin::Null, &None));
    assert!(calls[0].env.iter().any(|name| name == "CODEX_SOMETHING"));
    assert_eq!(calls[0].cwd, workspace.path().canonicalize().unwrap());
    assert_eq!(calls[1].stdin, Stdin::Pipe);
    assert_eq!(calls[1].stdin_text.as_deref(), Some("two\nlines"));
}

#[test]
fn a_closed_stdin_is_distinguished_from_an_empty_one() {
    let workspace = tempfile::tempdir().unwrap();
    let status = Command::new("sh")
        .args(["-c", r#"exec "$0" exec -- hello <&-"#])
        .arg(env!("CARGO_BIN_EXE_fake-codex"))
        .current_dir(workspace.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(calls(workspace.path()).unwrap()[0].stdin, Stdin::Closed);
}

#[test]
fn each_call_plays_its_part_of_the_script() {
    let workspace = tempfile::tempdir().unwrap();
    Script::new()
        .call(Step::turn("first"))
        .call(Step::failed_turn("broken"))
        .write_to(workspace.path())
        .unwrap();
    let call = || {
        fake_codex(workspace.path(), &["exec", "resume", THREAD, "--", "x"])
            .output()
            .unwrap()
    };
    assert_eq!(events(&call())[2]["item"]["text"], "first");
    for _ in 0..2 {
        let failed = call();
        assert_eq!(failed.status.code(), Some(1));
        let last = events(&failed).pop().unwrap();
        assert_eq!(last["error"]["message"], "broken");
    }
}

#[test]
fn bytes_and_transcripts_are_written_as_they_are() {
    let transcript = format!(
        "{{\"type\":\"thread.started\",\"thread_id\":\"{THREAD}\"}}\n{{\"seen\":\"{THREAD}\"}}\n"
    );
    let workspace = tempfile::tempdir().unwrap();
    std::fs::write(workspace.path().join("transcript.jsonl"), &transcript).unwrap();
    let emit_file = |own_thread| Step::EmitFile {
        path: "transcript.jsonl".into(),
        own_thread,
    };
    Script::new()
        .call([Step::emit_raw(b"\xff\0 no line"), emit_file(false)])
        .call([emit_file(true)])
        .write_to(workspace.path())
        .unwrap();
    let call = || {
        fake_codex(workspace.path(), &["exec", "--", "x"])
            .output()
            .unwrap()
    };
    let want = [b"\xff\0 no line", transcript.as_bytes()].concat();
    assert_eq!(call().stdout, want);
    let replaced = events(&call());
    assert_ne!(replaced[0]["thread_id"], THREAD);
    assert_eq!(replaced[0]["thread_id"], replaced[1]["seen"]);
}

#[test]
fn a_usage_can_be_dictated_and_is_the_new_total() {
    let usage = Usage {
        input_tokens: 5,
        ..Usage::default()
    };
    let completed = [Step::TurnCompletedWith { usage }, Step::TurnCompleted];
    let (_workspace, output) = play(completed);
    let events = events(&output);
    assert_eq!(events[0]["usage"]["input_tokens"], 5);
    assert_eq!(events[1]["usage"]["input_tokens"], 1205);
}

#[test]
fn a_flood_has_lines_of_the_length_asked_for() {
    let (_workspace, output) = play([Step::Flood {
        bytes: 1_000_000,
        line_len: 1000,
    }]);
    assert_eq!(output.stdout.len(), 1_000_000);
    assert!(output.stdout.chunks(1000).all(|line| line[999] == b'\n'));
    let events = events(&output);
    assert_eq!(events.len(), 1000);
    assert_ne!(events[0]["item"]["text"], events[1]["item"]["text"]);
}

#[test]
fn test_and_call_wait_for_each_other() {
    let workspace = tempfile::tempdir().unwrap();
    Script::new()
        .call([Step::touch("here"), Step::wait_for_file("go"), Step::Echo])
        .write_to(workspace.path())
        .unwrap();
    let mut child = fake_codex(workspace.path(), &["exec", "--", "x"])
        .spawn()
        .unwrap();
    wait_until("sign", || workspace.path().join("here").exists());
    assert!(child.try_wait().unwrap().is_none());
    std::fs::write(workspace.path().join("go"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(events(&output)[0]["item"]["text"], "echo: x");
}

#[test]
fn signals_end_it_are_ignored_or_turned_into_an_exit_code() {
    let (_workspace, output) = play([Step::KillSelf {
        signal: libc::SIGKILL,
    }]);
    assert_eq!(output.status.signal(), Some(libc::SIGKILL));

    let (_workspace, output) = play([
        Step::IgnoreSignals {
            signals: vec![libc::SIGINT],
        },
        Step::KillSelf {
            signal: libc::SIGINT,
        },
        Step::Exit { code: 3 },
    ]);
    assert_eq!(output.status.code(), Some(3));

    let (_workspace, output) = play([
        Step::ExitOnSignal {
            signal: libc::SIGINT,
            code: 1,
        },
        Step::KillSelf {
            signal: libc::SIGINT,
        },
        Step::Forever,
    ]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_child_is_left_behind_in_the_group_asked_for() {
    for group in [ChildGroup::Inherited, ChildGroup::Own, ChildGroup::Session] {
        let (workspace, output) = play([Step::LeaveChild {
            millis: 20_000,
            hold_stdout: false,
            group,
        }]);
        assert!(output.status.success(), "{output:?}");
        let pids = children(workspace.path()).unwrap();
        assert_eq!(pids.len(), 1);
        assert!(is_running(pids[0]));
        let pgid = i64::from(calls(workspace.path()).unwrap()[0].pgid);
        let child_group = process_group(pids[0]);
        assert_eq!(child_group == pgid, group == ChildGroup::Inherited);
        kill(pids[0]);
        wait_until("end of the child", || !is_running(pids[0]));
    }
}

#[test]
fn stdout_ends_when_it_is_closed_but_not_while_a_child_holds_it() {
    let (_workspace, output) = play([
        Step::emit("{}"),
        Step::CloseStdout,
        Step::emit("unseen"),
        Step::Exit { code: 4 },
    ]);
    assert_eq!(output.stdout, b"{}\n");
    assert_eq!(output.status.code(), Some(4));

    let began = Instant::now();
    let held = play([Step::LeaveChild {
        millis: 300,
        hold_stdout: true,
        group: ChildGroup::Own,
    }]);
    assert!(held.1.status.success());
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_reader_that_goes_away_ends_it_as_it_ends_codex() {
    let workspace = tempfile::tempdir().unwrap();
    let flood = Step::Flood {
        bytes: 10_000_000,
        line_len: 1000,
    };
    Script::new()
        .call([flood])
        .write_to(workspace.path())
        .unwrap();
    let mut child: Child = fake_codex(workspace.path(), &["exec", "--", "x"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(101));
}

#[test]
fn what_it_does_not_understand_is_said_loudly() {
    let workspace = tempfile::tempdir().unwrap();
    let call = |arguments: &[&str]| fake_codex(workspace.path(), arguments).output().unwrap();
    assert_eq!(call(&["exec", "--json"]).status.code(), Some(EXIT_USAGE));
    std::fs::write(
        workspace.path().join(SCRIPT_FILE),
        r#"{"calls":[["dance"]]}"#,
    )
    .unwrap();
    let output = call(&["exec", "--", "x"]);
    assert_eq!(output.status.code(), Some(EXIT_SCRIPT));
    assert!(String::from_utf8_lossy(&output.stderr).contains("dance"));
}

/// The fifth field of `/proc/PID/stat`, counted from behind the name, which may hold anything.
fn process_group(pid: i32) -> i64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(") ").next().unwrap();
    fields.split(' ').nth(2).unwrap().parse().unwrap()
}

fn kill(pid: i32) {
    // SAFETY: kill touches no memory; the process is a sleep that this test left behind.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
}
