//! Every transcript of the real codex, through the real component and host: what codex printed has
//! to become the events that are written down beside it.
//!
//! `BLESS=1` rewrites them; read the diff before you commit it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::ensure;
use plexum_openai_provider::config::LostSession;
use plexum_openai_provider::{Config, Event, Limits, NoticeKind, Provider, Request, SessionFiles};
use plexum_openai_provider_tests::real_codex::VERSIONS;
use plexum_openai_provider_tests::transcript::{self, Recording, difference, recordings};

const BLESS: &str = "BLESS=1 cargo test --workspace --test transcripts";

#[tokio::test]
async fn every_transcript_becomes_the_events_beside_it() {
    let bless = std::env::var_os("BLESS").is_some();
    let provider = Provider::new(Config {
        binary: Some(env!("CARGO_BIN_EXE_fake-codex").into()),
        // Any other value would begin a new thread, and no transcript holds two.
        lost_session: LostSession::Fail,
        // A busy thread stays busy in here.
        limits: Limits {
            busy_seconds: 1,
            ..Limits::default()
        },
        ..Config::default()
    })
    .unwrap();
    let state = tempfile::tempdir().unwrap();
    let sessions = SessionFiles::default().with_state_folder(state.path());
    let provider = provider.with_session_store(sessions);
    let mut wrong = Vec::new();
    for recording in recordings().unwrap() {
        let name = recording.name();
        match check(&provider, &recording, state.path(), bless).await {
            Ok(None) => {}
            Ok(Some(difference)) => wrong.push(format!("{name}\n{difference}")),
            Err(error) => wrong.push(format!("{name}\n  {error:#}\n")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} transcripts translate to something else (- written down, + now):\n\n{}\n\
         If that is right, write it down with `{BLESS}` and read the difference.",
        wrong.len(),
        wrong.join("\n"),
    );
}

#[test]
fn the_folders_are_those_of_the_table() {
    let recorded: Vec<String> = recordings().unwrap().iter().map(Recording::name).collect();
    for version in VERSIONS {
        let expected: BTreeSet<&str> = transcript::cases()
            .filter(|case| case.missing_on(version).is_none())
            .map(|case| case.name)
            .collect();
        let found: BTreeSet<&str> = recorded
            .iter()
            .filter_map(|name| name.strip_prefix(version)?.strip_prefix('/'))
            .collect();
        let missing: Vec<_> = expected.difference(&found).collect();
        let orphaned: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && orphaned.is_empty(),
            "{version}: not recorded: {missing:?} (run scripts/record-transcripts.sh); \
             in no table: {orphaned:?} (remove them)"
        );
    }
}

#[test]
fn every_case_says_what_it_shows_and_every_excuse_names_a_version() {
    for case in transcript::cases() {
        for version in VERSIONS {
            let about = transcript::folder()
                .join(version)
                .join(case.name)
                .join("about.txt");
            match case.missing_on(version) {
                None => assert_eq!(
                    fs::read_to_string(&about).unwrap(),
                    format!("{}\n", case.about)
                ),
                Some(reason) => assert!(!reason.is_empty(), "{}", case.name),
            }
        }
        for (version, _) in case.not_on {
            assert!(VERSIONS.contains(version), "{}: {version}", case.name);
        }
    }
}

/// Replays one transcript. Returns how its events differ from those written down.
async fn check(
    provider: &Provider,
    recording: &Recording,
    state: &Path,
    bless: bool,
) -> anyhow::Result<Option<String>> {
    let events = replay(provider, recording, state).await?;
    let ends = events
        .iter()
        .filter(|event| matches!(event, Event::MessageEnd { .. }))
        .count();
    ensure!(
        ends == 1 && matches!(events.last(), Some(Event::MessageEnd { .. })),
        "a turn has one end, and it comes last: {events:#?}"
    );
    // The component must know everything that these versions print.
    let unknown = events.iter().find(|event| {
        let Event::Notice { kind, .. } = event else {
            return false;
        };
        matches!(
            kind,
            NoticeKind::UnknownEvent { .. } | NoticeKind::LineMalformed
        )
    });
    ensure!(unknown.is_none(), "not understood: {unknown:?}");

    let mut now = String::new();
    for event in &events {
        now.push_str(&serde_json::to_string(event)?);
        now.push('\n');
    }
    if bless {
        fs::write(recording.events_file(), now)?;
        return Ok(None);
    }
    let written_down = recording.events()?;
    Ok((written_down != now).then(|| difference(&written_down, &now)))
}

/// The events of a turn in which codex behaves as in the transcript.
async fn replay(
    provider: &Provider,
    recording: &Recording,
    state: &Path,
) -> anyhow::Result<Vec<Event>> {
    let workspace = recording.workspace(state)?;
    let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
    let mut events = Vec::new();
    while let Some(event) = turn.next().await {
        events.push(event);
    }
    Ok(events)
}
