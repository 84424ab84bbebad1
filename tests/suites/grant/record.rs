//! The auditor's record, where it cannot be written.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use plexum_openai_provider::FailureKind;
use plexum_openai_provider_tests::jail;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::{Value, json};

/// How large a file may become: far more than a turn needs.
const MOST: u64 = 512 << 20;

/// A workspace, and a record with room for so many bytes.
fn with_room(room: u64) -> (Workspace, PathBuf) {
    let workspace = Workspace::new(Path::new(env!("CARGO_BIN_EXE_fake-codex"))).unwrap();
    let record = workspace.outside("record.jsonl");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&record)
        .unwrap();
    // It takes no room on the disk.
    file.write_all_at(b"\n", MOST - room - 1).unwrap();
    (workspace, record)
}

fn say(workspace: &Workspace, record: Option<&Path>) -> (Said, Output) {
    let mut say = workspace.say(["--json", "hello"]);
    if let Some(record) = record {
        say.arg("--record").arg(record);
    }
    jail::limit(&mut say, libc::RLIMIT_FSIZE, MOST);
    let output = say.output().unwrap();
    (Said::by(&output).unwrap(), output)
}

/// What stands behind the first part of the record.
fn tail(record: &Path, room: u64) -> String {
    let file = OpenOptions::new().read(true).open(record).unwrap();
    let length = file.metadata().unwrap().len();
    let from = MOST - room;
    let mut bytes = vec![0; usize::try_from(length - from).unwrap()];
    file.read_exact_at(&mut bytes, from).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_does_not_fit_leaves_no_half_line_and_is_told_without_being_asked() {
    for room in [0, 1, 200] {
        let (workspace, record) = with_room(room);
        let (said, output) = say(&workspace, Some(&record));
        assert_eq!(said.code, Some(0), "{said:?}");
        for line in tail(&record, room).lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            told.contains("a line of the record could not be written"),
            "{told}"
        );
        assert!(told.contains(record.to_str().unwrap()), "{told}");
    }
}

#[test]
fn a_record_that_is_required_and_cannot_be_written_keeps_codex_from_starting() {
    let (workspace, record) = with_room(200);
    let codex = env!("CARGO_BIN_EXE_fake-codex");
    workspace
        .configure(&json!({ "binary": codex, "record": "required" }))
        .unwrap();
    let (said, _) = say(&workspace, Some(&record));
    let failure = said.failure().unwrap();
    assert_eq!(
        (failure.kind, failure.retryable),
        (FailureKind::Resources, true)
    );
    assert!(failure.message.contains("`record`"), "{failure:?}");
    assert_eq!(workspace.calls().unwrap().len(), 0, "codex was started");
    assert_eq!(tail(&record, 200), "");

    // None at all.
    let output = workspace.say(["hello"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--record FILE"), "{told}");
    assert_eq!(workspace.calls().unwrap().len(), 0, "codex was started");

    // One that can be written: the start stands there before everything else.
    let record = workspace.outside("good.jsonl");
    let (said, _) = say(&workspace, Some(&record));
    assert_eq!(said.code, Some(0), "{said:?}");
    let text = std::fs::read_to_string(record).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take())
        .collect();
    assert_eq!(events, ["starting", "allowed", "ended"]);
}

#[tokio::test]
async fn an_embedder_without_a_recorder_is_refused_where_one_is_required() {
    use plexum_openai_provider::config::{Config, RecordRule};
    use plexum_openai_provider::{Event, Provider, Request};
    let workspace = Workspace::new(Path::new(env!("CARGO_BIN_EXE_fake-codex"))).unwrap();
    let config = Config {
        binary: Some(env!("CARGO_BIN_EXE_fake-codex").into()),
        record: RecordRule::Required,
        ..Config::default()
    };
    let provider = Provider::new(config).unwrap();
    let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
    let mut end = None;
    while let Some(event) = turn.next().await {
        end = Some(event);
    }
    let Some(Event::MessageEnd {
        failure: Some(failure),
        ..
    }) = end
    else {
        unreachable!("{end:?}");
    };
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(failure.message.contains("with_recorder"), "{failure:?}");
    assert_eq!(workspace.calls().unwrap().len(), 0, "codex was started");
}

#[test]
fn a_codex_that_stays_is_asked_nothing_that_is_not_in_the_record() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let config = json!({ "binary": codex, "transport": "app-server", "record": "required" });
    let mut methods = Vec::new();
    // From no room at all to room for every line.
    for room in [0, 700, 1500, 2000, 2400, 100_000] {
        let (workspace, record) = with_room(room);
        workspace.configure(&config).unwrap();
        let (said, _) = say(&workspace, Some(&record));
        let lines = tail(&record, room);
        let asked: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["event"] == "asked")
            .collect();
        let is_asked = |method: &str| asked.iter().any(|line| line["method"] == method);
        if is_asked("turn/start") {
            assert_eq!(said.code, Some(0), "{room}: {said:?}");
            assert_eq!(said.text(), "echo: hello");
        } else {
            assert_eq!(
                said.failure_kind(),
                Some(FailureKind::Resources),
                "{room}: {said:?}"
            );
            assert_eq!(said.text(), "");
        }
        methods.push((is_asked("thread/start"), is_asked("turn/start")));
    }
    assert_eq!(methods.first(), Some(&(false, false)));
    assert_eq!(methods.last(), Some(&(true, true)));
}
