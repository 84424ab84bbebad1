//! Every transcript of the real codex, through the real component and host: what codex printed has
//! to become the events that are written down beside it.
//!
//! `BLESS=1` writes them down anew; read the difference before it is committed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use plexum_openai_provider::config::LostSession;
use plexum_openai_provider::{
    Config, Event, Limits, NoticeKind, Provider, Request, SESSION_FILE, USAGE_FILE,
};
use plexum_openai_provider_tests::fake_codex::{Script, Step};
use plexum_openai_provider_tests::real_codex::VERSIONS;
use plexum_openai_provider_tests::transcript::{self, Exit};

const BLESS: &str = "BLESS=1 cargo test -p plexum-openai-provider-tests --test transcripts";

/// How much of a line a failure shows.
const SHOWN_CHARACTERS: usize = 600;

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
    let mut wrong = Vec::new();
    for folder in recorded() {
        let name = folder.strip_prefix(transcript::folder()).unwrap().display();
        match check(&provider, &folder, bless).await {
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
    for version in VERSIONS {
        let expected: BTreeSet<String> = transcript::cases()
            .filter(|case| case.missing_on(version).is_none())
            .map(|case| case.name.to_owned())
            .collect();
        let found: BTreeSet<String> = folders(&transcript::folder().join(version))
            .iter()
            .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
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
                None => assert_eq!(read(&about).unwrap(), format!("{}\n", case.about)),
                Some(reason) => assert!(!reason.is_empty(), "{}", case.name),
            }
        }
        for (version, _) in case.not_on {
            assert!(VERSIONS.contains(version), "{}: {version}", case.name);
        }
    }
}

/// Every recorded run, in order.
fn recorded() -> Vec<PathBuf> {
    let versions = folders(&transcript::folder());
    versions
        .iter()
        .flat_map(|version| folders(version))
        .collect()
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Replays one transcript. Returns how its events differ from those written down.
async fn check(provider: &Provider, folder: &Path, bless: bool) -> anyhow::Result<Option<String>> {
    let events = replay(provider, folder).await?;
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
        matches!(kind, NoticeKind::UnknownEvent | NoticeKind::LineMalformed)
    });
    ensure!(unknown.is_none(), "not understood: {unknown:?}");

    let mut now = String::new();
    for event in &events {
        now.push_str(&serde_json::to_string(event)?);
        now.push('\n');
    }
    let path = folder.join("events.jsonl");
    if bless {
        fs::write(&path, now)?;
        return Ok(None);
    }
    let written_down = if path.exists() {
        read(&path)?
    } else {
        String::new()
    };
    Ok((written_down != now).then(|| difference(&written_down, &now)))
}

/// The events of a turn in which codex behaves as in the transcript.
async fn replay(provider: &Provider, folder: &Path) -> anyhow::Result<Vec<Event>> {
    let workspace = tempfile::tempdir()?;
    for (recorded, stored) in [("session.txt", SESSION_FILE), ("usage.json", USAGE_FILE)] {
        let path = folder.join(recorded);
        if path.exists() {
            fs::write(workspace.path().join(stored), read(&path)?.trim_end())?;
        }
    }
    let end = match read(&folder.join("exit.txt"))?.parse()? {
        Exit::Code(code) => Step::Exit { code },
        Exit::Signal(signal) => Step::KillSelf { signal },
    };
    let steps = [
        Step::EmitFile {
            path: folder.join("stdout.jsonl"),
            own_thread: false,
        },
        Step::Stderr {
            text: read(&folder.join("stderr.txt"))?,
        },
        end,
    ];
    Script::new().call(steps).write_to(workspace.path())?;
    let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
    let mut events = Vec::new();
    while let Some(event) = turn.next().await {
        events.push(event);
    }
    Ok(events)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The lines that differ, without those that are the same at the beginning and at the end.
fn difference(old: &str, new: &str) -> String {
    let old: Vec<_> = old.lines().collect();
    let new: Vec<_> = new.lines().collect();
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(old, new)| old == new).count()
    };
    let head = same(&mut old.iter().zip(&new));
    let tail = same(&mut old.iter().skip(head).rev().zip(new.iter().skip(head).rev()));
    let mut text = String::new();
    for (sign, lines) in [('-', &old), ('+', &new)] {
        for line in lines.iter().take(lines.len() - tail).skip(head) {
            let shown: String = line.chars().take(SHOWN_CHARACTERS).collect();
            let cut = if shown.len() < line.len() { "…" } else { "" };
            writeln!(text, "  {sign} {shown}{cut}").unwrap();
        }
    }
    text
}

#[test]
fn a_difference_shows_only_the_lines_that_differ() {
    assert_eq!(
        difference("a\nb\nc\nd\n", "a\nx\nd\n"),
        "  - b\n  - c\n  + x\n"
    );
    assert_eq!(difference("", "a\n"), "  + a\n");
    assert_eq!(difference("a\na\n", "a\n"), "  - a\n");
}
