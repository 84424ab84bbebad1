//! What the real codex and the host say to each other over app-server, kept as files in `tests/server-transcripts`: codex
//! still says that, the host still says that, and it becomes the events that are written down beside it.
//!
//! `BLESS=1` rewrites them; read the diff before you commit it. Without a real codex it rewrites only the events.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plexum_openai_provider::config::Transport;
use plexum_openai_provider::{Config, Event, Provider, Request};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::fake_codex::{DIALOGUE_FILE, DIALOGUE_HOME};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::{RealCodex, VERSIONS};
use plexum_openai_provider_tests::transcript::{Dialogue, Plain, difference};
use plexum_openai_provider_tests::workspace::Workspace;
use tokio::sync::Semaphore;

const BLESS: &str = "BLESS=1 cargo test --workspace --test server_transcripts";

/// How many conversations are had at once.
const AT_ONCE: usize = 4;

/// How often a conversation is had that does not turn out as it is kept: on a machine that has more to do than it can,
/// codex 0.135 may not say how a command has ended.
const ATTEMPTS: usize = 3;

/// A conversation that is kept.
struct Case {
    /// The name of its folder.
    name: &'static str,
    /// What happens in it.
    steps: &'static [Step],
    /// The versions that do not show the same each time, each with the reason.
    not_on: &'static [(&'static str, &'static str)],
}

/// What happens in a conversation.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A turn with this prompt.
    Turn(&'static str),
    /// One that is cancelled when its first text comes.
    Cancelled(&'static str),
    /// A new host takes the place of the old one.
    NewHost,
    /// Codex's record of the conversation is removed.
    Lost,
}

use Step::{Cancelled, Lost, NewHost, Turn};

const CASES: &[Case] = &[
    case("plain", &[Turn("hello")]),
    case("reasoning", &[Turn("mock:thoughts")]),
    // Whether codex passes on what a command prints at once is chance.
    case("command", &[Turn("mock:shell=exit 3")]),
    Case {
        name: "command-that-takes-its-time",
        steps: &[Turn("mock:shell=sleep 2; echo said; sleep 1")],
        not_on: &[(
            "0.135.0",
            "it seldom says how such a command ended, and then late",
        )],
    },
    case("file-change", &[Turn("mock:patch=made.txt")]),
    case("failed", &[Turn("mock:e400plain"), Turn("again")]),
    case("reconnected", &[Turn("mock:dropn=1")]),
    // The second part would come in ten minutes.
    case(
        "cancelled",
        &[Cancelled("mock:slow=2,600000"), Turn("again")],
    ),
    case("resumed", &[Turn("one"), NewHost, Turn("two")]),
    case("lost", &[Turn("one"), NewHost, Lost, Turn("two")]),
];

const fn case(name: &'static str, steps: &'static [Step]) -> Case {
    Case {
        name,
        steps,
        not_on: &[],
    }
}

/// The cases of a version, each with its files.
fn cases(version: &str) -> impl Iterator<Item = (&'static Case, Files)> {
    let has = move |case: &&Case| !case.not_on.iter().any(|(not_on, _)| *not_on == version);
    CASES.iter().filter(has).map(move |case| {
        let folder = root().join(version).join(case.name);
        (case, Files { folder })
    })
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/server-transcripts"))
}

/// Where a conversation is kept.
struct Files {
    folder: PathBuf,
}

impl Files {
    /// Compares with what is kept, or keeps this. Returns how they differ.
    fn compare(&self, name: &str, now: &str) -> String {
        let file = self.folder.join(name);
        if is_blessing() {
            fs::create_dir_all(&self.folder).unwrap();
            fs::write(file, now).unwrap();
            return String::new();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        match kept == now {
            true => String::new(),
            false => format!("{}\n{}\n", file.display(), difference(&kept, now)),
        }
    }
}

fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

fn assert_same(differences: &str) {
    assert!(
        differences.is_empty(),
        "- kept, + now:\n\n{differences}\
         If that is right, keep it with `{BLESS}` and read the difference."
    );
}

/// Has a conversation. Returns the events of all its turns.
async fn had(
    steps: &[Step],
    workspace: &Path,
    host: impl Fn() -> Provider,
    lose: impl Fn(),
) -> Vec<Event> {
    let mut provider = host();
    let mut events = Vec::new();
    for step in steps {
        let prompt = match step {
            Turn(prompt) | Cancelled(prompt) => *prompt,
            NewHost => {
                provider.close().await;
                provider = host();
                continue;
            }
            Lost => {
                lose();
                continue;
            }
        };
        let mut turn = provider.turn(workspace, Request::prompt(prompt));
        while let Some(event) = turn.next().await {
            if matches!(step, Cancelled(_)) && matches!(event, Event::TextDelta { .. }) {
                turn.cancel();
            }
            events.push(event);
        }
    }
    provider.close().await;
    events
}

fn config(program: &Path) -> Config {
    Config {
        binary: Some(program.to_owned()),
        transport: Some(Transport::AppServer),
        // With it, no turn would go over app-server.
        env: vec!["!CODEX_API_KEY".to_owned()],
        ..Config::default()
    }
}

/// The events, one a line.
fn lines(events: &[Event]) -> String {
    let lines = events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap() + "\n");
    lines.collect()
}

/// Has the conversation with the real codex. Returns what was said, and the events.
async fn recorded(codex: &RealCodex, case: &Case) -> (String, String) {
    let agent = Agent::new(codex).unwrap();
    let log = agent.workspace.outside("dialogue.txt");
    let tap = Path::new(env!("CARGO_BIN_EXE_tap"));
    let program = agent.tapped_program(tap, &log).unwrap();
    let home = agent.home.path();
    let host = || {
        let sessions = agent.workspace.sessions().with_codex_home(home);
        let provider = Provider::new(config(&program)).unwrap();
        provider.with_session_store(sessions)
    };
    let lose = || fs::remove_dir_all(home.join("sessions")).unwrap();
    let workspace = agent.workspace.path();
    let events = had(case.steps, workspace, host, lose).await;

    let mut plain = Plain::default();
    plain.path(workspace, Dialogue::WORKSPACE).unwrap();
    plain.path(home, Dialogue::CODEX_HOME).unwrap();
    plain.word(&agent.model.base_url(), "http://127.0.0.1:1/v1");
    let version = format!(r#""version":"{}""#, env!("CARGO_PKG_VERSION"));
    plain.word(&version, Dialogue::CLIENT_VERSION);
    let dialogue = Dialogue::read(&fs::read_to_string(log).unwrap()).unwrap();
    let dialogue = dialogue.canonical(&mut plain).unwrap();
    (dialogue.to_string(), plain.message(&lines(&events)))
}

/// Has the conversation with a codex that says what is kept. Returns the events.
async fn replayed(files: &Files, case: &Case) -> String {
    let fake_codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::new(fake_codex).unwrap();
    let kept = files.folder.join("dialogue.txt");
    let kept = fs::read_to_string(&kept)
        .unwrap_or_else(|error| panic!("{}: {error}; `{BLESS}` writes it", kept.display()));
    fs::write(workspace.path().join(DIALOGUE_FILE), &kept).unwrap();
    let home = workspace.path().join(DIALOGUE_HOME);
    let host = || {
        let sessions = workspace.sessions().with_codex_home(&home);
        let provider = Provider::new(config(fake_codex)).unwrap();
        provider.with_session_store(sessions)
    };
    let events = had(case.steps, workspace.path(), host, || {}).await;
    let mut plain = Plain::default();
    plain.path(workspace.path(), Dialogue::WORKSPACE).unwrap();
    // Its ids have their numbers already.
    plain.message(&kept);
    plain.message(&lines(&events))
}

#[tokio::test]
async fn codex_and_the_host_still_say_what_is_kept() {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut differences = String::new();
    for codex in real_codex!() {
        let conversations = cases(&codex.version).map(|(case, files)| {
            let (codex, permits) = (codex.clone(), Arc::clone(&permits));
            tokio::spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                let mut differences = String::new();
                for _ in 0..ATTEMPTS {
                    let (dialogue, events) = recorded(&codex, case).await;
                    differences = files.compare("dialogue.txt", &dialogue)
                        + &files.compare("events.jsonl", &events);
                    if differences.is_empty() {
                        break;
                    }
                }
                differences
            })
        });
        for had in conversations.collect::<Vec<_>>() {
            differences += &had.await.unwrap();
        }
    }
    assert_same(&differences);
}

#[tokio::test]
async fn what_is_kept_becomes_the_events_beside_it() {
    // Then the other test keeps both, at the same time.
    if is_blessing() && !RealCodex::installed().unwrap().is_empty() {
        return;
    }
    let mut differences = String::new();
    for version in VERSIONS {
        for (case, files) in cases(version) {
            let events = replayed(&files, case).await;
            differences += &files.compare("events.jsonl", &events);
        }
    }
    assert_same(&differences);
}

#[test]
fn the_folders_are_those_of_the_table() {
    // While another test writes them, they are not there yet.
    if is_blessing() {
        return;
    }
    for version in VERSIONS {
        let expected: BTreeSet<String> = cases(version)
            .map(|(case, _)| case.name.to_owned())
            .collect();
        let found = fs::read_dir(root().join(version)).unwrap();
        let found: BTreeSet<String> = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, expected, "{version}");
    }
    for (version, reason) in CASES.iter().flat_map(|case| case.not_on) {
        assert!(
            VERSIONS.contains(version) && !reason.is_empty(),
            "{version}"
        );
    }
}
