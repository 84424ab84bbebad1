//! The real codex against the mock model: the two understand each other, on every version.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use plexum_openai_provider_tests::codex_home::CodexHome;
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::{RealCodex, TURN_FLAGS};
use serde_json::Value;
use tempfile::TempDir;

/// One codex with a model, a home and a workspace of its own.
struct Bench {
    codex: RealCodex,
    model: MockModel,
    home: CodexHome,
    workspace: TempDir,
}

impl Bench {
    fn new(codex: RealCodex) -> Self {
        let model = MockModel::start_with(Options::default()).unwrap();
        let home = CodexHome::new(&model.base_url()).unwrap();
        Self {
            codex,
            home,
            model,
            workspace: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs one turn to its end and returns its events.
    fn turn(&self, resume: Option<&str>, prompt: &str) -> Vec<Value> {
        let mut command = self.codex.command(&self.home, self.workspace.path());
        command.arg("exec");
        if let Some(thread) = resume {
            command.args(["resume", thread]);
        }
        let output = command
            .args(TURN_FLAGS)
            .args(["--", prompt])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", self.codex.version);
        events(&output.stdout)
    }
}

fn events(stdout: &[u8]) -> Vec<Value> {
    std::str::from_utf8(stdout)
        .unwrap()
        .split_terminator('\n')
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn thread_id(events: &[Value]) -> &str {
    assert_eq!(events[0]["type"], "thread.started", "{events:?}");
    events[0]["thread_id"].as_str().unwrap()
}

fn answer(events: &[Value]) -> &str {
    events
        .iter()
        .rfind(|event| event["item"]["type"] == "agent_message")
        .and_then(|event| event["item"]["text"].as_str())
        .unwrap()
}

#[test]
fn codex_gets_an_answer_and_needs_no_login() {
    for codex in real_codex!() {
        let bench = Bench::new(codex);
        let events = bench.turn(None, "hello");
        let kinds: Vec<_> = events.iter().map(|event| &event["type"]).collect();
        let want = [
            "thread.started",
            "turn.started",
            "item.completed",
            "turn.completed",
        ];
        assert_eq!(kinds, want, "{}", bench.codex.version);
        assert_eq!(answer(&events), "echo: hello");
        let usage = &events[3]["usage"];
        assert_eq!(usage["input_tokens"], 1200, "{usage}");
        assert_eq!(usage["cached_input_tokens"], 1000, "{usage}");
        assert_eq!(usage["output_tokens"], 34, "{usage}");
        assert_eq!(usage["reasoning_output_tokens"], 7, "{usage}");

        let requests = bench.model.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].path, "/v1/responses");
        assert!(!requests[0].authorized);
        assert_eq!(requests[0].last_user_text().as_deref(), Some("hello"));
    }
}

#[test]
fn a_resumed_codex_sends_its_history() {
    for codex in real_codex!() {
        let bench = Bench::new(codex);
        let first = bench.turn(None, "one");
        let second = bench.turn(Some(thread_id(&first)), "mock:history");
        assert_eq!(thread_id(&second), thread_id(&first));
        assert_eq!(answer(&second), r#"["one","mock:history"]"#);
        // The totals are the thread's, not the turn's.
        assert_eq!(second[3]["usage"]["input_tokens"], 2400);
    }
}

#[test]
fn codex_runs_the_command_that_the_model_asks_for() {
    for codex in real_codex!() {
        let bench = Bench::new(codex);
        let events = bench.turn(None, "mock:shell=echo made > made.txt; echo said");
        let command = events
            .iter()
            .find(|event| {
                event["type"] == "item.completed" && event["item"]["type"] == "command_execution"
            })
            .unwrap();
        assert_eq!(command["item"]["aggregated_output"], "said\n");
        assert_eq!(command["item"]["exit_code"], 0);
        assert_eq!(answer(&events), "done");
        let made = std::fs::read_to_string(bench.workspace.path().join("made.txt")).unwrap();
        assert_eq!(made, "made\n");
    }
}

#[test]
fn a_model_that_hangs_ends_when_it_is_dropped() {
    for codex in real_codex!() {
        let Bench {
            codex,
            model,
            home,
            workspace,
        } = Bench::new(codex);
        let mut child = codex
            .command(&home, workspace.path())
            .arg("exec")
            .args(TURN_FLAGS)
            .args(["--", "mock:hang"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime
            .block_on(async {
                tokio::time::timeout(Duration::from_secs(120), model.requests_reached(1)).await
            })
            .unwrap();
        let began = Instant::now();
        drop(model);
        // It would wait for codex forever.
        assert!(began.elapsed() < Duration::from_secs(60));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
