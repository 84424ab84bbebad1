//! Whatever codex prints, a turn ends once, last, and without a panic: recorded transcripts, and recorded notifications of
//! a codex that stays, with their bytes changed, their ends cut off and their lines in another order.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

mod codex;
mod contract;
mod documents;
mod ends;
mod mutation;

use std::path::Path;

use plexum_openai_provider_guest::bindings::codex::{Exit, ExitStatus};
use plexum_openai_provider_guest::bindings::settings::Transport;
use plexum_openai_provider_guest::bindings::turns::{BlockKind, Event};
use proptest::prelude::*;
use serde_json::Value;

use codex::{THREAD, turn};
use contract::{blocks, check};
use mutation::{mutate, mutation};

fn exit(status: ExitStatus, stderr: String) -> Exit {
    Exit {
        status,
        stopped: None,
        stderr,
        left_behind: 0,
        output_cut: false,
    }
}

fn well() -> Exit {
    exit(ExitStatus::Code(0), String::new())
}

/// What the model says in this output until codex says how the turn ended, message by message. Once each: what codex
/// repeats after a broken connection is not reported again.
fn said(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let events = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let open = |event: &Value| {
        !matches!(
            event["type"].as_str(),
            Some("turn.completed" | "turn.failed")
        )
    };
    let text = |event: Value| {
        let item = &event["item"];
        let is_message = event["type"] == "item.completed" && item["type"] == "agent_message";
        is_message.then(|| item["text"].as_str().map(str::to_owned))?
    };
    let texts = events.take_while(open).filter_map(text);
    let mut said = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said
}

/// No text is lost: what the model says is what the caller gets, in that order.
fn check_text(events: &[Event], said: &[String]) {
    let mut told = events.iter().filter_map(|event| match event {
        Event::TextDelta(delta) => Some(&delta.text),
        _ => None,
    });
    for text in said {
        assert!(
            told.any(|told| told == text),
            "{text:?} is lost: {events:?}"
        );
    }
}

/// The recorded outputs of the real codex.
fn transcripts() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let folders = |path: &Path| {
        std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let cases = folders(&root)
        .filter(|path| path.is_dir())
        .flat_map(|version| folders(&version).collect::<Vec<_>>());
    let mut outputs: Vec<_> = cases
        .map(|case| std::fs::read(case.join("stdout.jsonl")).unwrap())
        .collect();
    // Large ones only make this slow: a mutation of one line is as good as that of another.
    outputs.retain(|output| !output.is_empty() && output.len() < 16 * 1024);
    outputs.sort();
    outputs
}

/// What a real codex that stays has said in a turn each, as the fuzz target `notifications` begins with.
fn notifications() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/notifications");
    let seeds = std::fs::read_dir(folder).unwrap();
    let mut said: Vec<Vec<u8>> = seeds
        .map(|seed| {
            let mut seed = std::fs::read(seed.unwrap().path()).unwrap();
            // What is behind it is for the fuzzer's host.
            let end = seed.iter().position(|byte| *byte == 0x1f);
            seed.truncate(end.unwrap_or(seed.len()));
            seed
        })
        .collect();
    said.retain(|said| said.windows(14).any(|part| part == b"\"turn/started\""));
    said.sort();
    said
}

/// The texts that the model stands by in these notifications: those of the turn's own items, once each.
fn stood_by(bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let (params, item) = (&event["params"], &event["params"]["item"]);
        if event["method"] == "item/completed"
            && params["threadId"] == THREAD
            && item["type"] == "agentMessage"
        {
            texts.push(item["text"].as_str().unwrap().to_owned());
        }
    }
    texts.dedup();
    texts
}

#[test]
fn the_text_of_every_transcript_arrives() {
    let mut texts = 0;
    for bytes in transcripts() {
        let said = said(&bytes);
        for size in [1, 100, 20_000] {
            check_text(&turn(Transport::Exec, &bytes, size, false, well()), &said);
        }
        texts += said.len();
    }
    assert!(texts > 50, "{texts}");
}

#[test]
fn the_text_of_every_recorded_turn_of_a_codex_that_stays_arrives() {
    let mut texts = 0;
    for bytes in notifications() {
        let expected = stood_by(&bytes);
        for size in [1, 100, 20_000] {
            let events = turn(Transport::AppServer, &bytes, size, false, well());
            check(&events);
            let left = blocks(&events, BlockKind::Text);
            assert!(left.starts_with(&expected), "{left:?} {expected:?}");
        }
        texts += expected.len();
    }
    assert!(texts > 15, "{texts}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_turn_over_a_damaged_transcript_ends_once(
        transcript in prop::sample::select(transcripts()),
        mutations in prop::collection::vec(mutation(), 0..6),
        size in 1_usize..20_000,
        resumed: bool,
        code in prop_oneof![Just(0), Just(1), Just(2), Just(101)],
        stderr in prop_oneof![Just(String::new()), Just("Error: no rollout found for thread id x\n".to_owned()), ".{0,80}"],
    ) {
        let bytes = mutations.iter().fold(transcript, mutate);
        check(&turn(Transport::Exec, &bytes, size, resumed, exit(ExitStatus::Code(code), stderr)));
    }

    #[test]
    fn a_turn_over_damaged_notifications_ends_once(
        notifications in prop::sample::select(notifications()),
        mutations in prop::collection::vec(mutation(), 0..6),
        size in 1_usize..20_000,
        resumed: bool,
        code in prop_oneof![Just(0), Just(1)],
        stderr in ".{0,80}",
    ) {
        let bytes = mutations.iter().fold(notifications, mutate);
        check(&turn(Transport::AppServer, &bytes, size, resumed, exit(ExitStatus::Code(code), stderr)));
    }

    #[test]
    fn a_turn_over_any_bytes_ends_once(bytes in prop::collection::vec(any::<u8>(), 0..2000), size in 1_usize..3000) {
        for transport in [Transport::Exec, Transport::AppServer] {
            check(&turn(transport, &bytes, size, false, exit(ExitStatus::Signal(9), String::new())));
        }
    }
}
