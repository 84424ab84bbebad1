//! A turn that is cancelled, dropped or out of time stops codex and ends, whether or not anybody reads, and whatever it
//! waits for.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plexum_openai_provider::{
    Config, Event, Failure, FailureKind, Limits, Provider, Request, Spawner, StopReason,
    Supervised, Turn,
};
use plexum_openai_provider::{
    SessionFiles,
    spawner::{Command, SpawnFuture, Spawned},
};
use plexum_openai_provider_tests::fake_codex::{ChildGroup, Step, children};
use plexum_openai_provider_tests::faulty_store::{FaultyStore, METHODS};
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use plexum_openai_provider_tests::workspace::Workspace;
use tokio::sync::Notify;

fn codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

fn provider(limits: Limits) -> Provider {
    let config = Config {
        binary: Some(codex().into()),
        limits,
        ..Config::default()
    };
    Provider::new(config)
        .unwrap()
        .with_session_store(SessionFiles::default().without_state())
}

fn one_second_of_grace() -> Limits {
    Limits {
        grace_seconds: 1,
        ..Limits::default()
    }
}

/// A codex that prints far more than may wait for a caller, and has a tool at work.
fn talkative() -> Workspace {
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::LeaveChild {
            millis: 600_000,
            hold_stdout: false,
            group: ChildGroup::Session,
        },
        Step::Flood {
            bytes: 2 * WAITING,
            line_len: LINE,
        },
        Step::Forever,
    ];
    Workspace::scripted(codex(), [steps]).unwrap()
}

/// The length of a line of [`talkative`].
const LINE: u64 = 64 << 10;

/// How much text may wait for a caller.
const WAITING: u64 = 1 << 20;

/// Codex and its tools.
fn processes(workspace: &Workspace) -> Vec<i32> {
    let calls = workspace.calls().unwrap_or_default();
    let mut all: Vec<i32> = calls.iter().map(|call| call.pid).collect();
    all.extend(children(workspace.path()).unwrap_or_default());
    all
}

/// Waits, without keeping the runtime from its work.
async fn until(what: &'static str, done: impl FnMut() -> bool + Send + 'static) {
    let waited = tokio::task::spawn_blocking(move || wait_until(what, done));
    waited.await.unwrap();
}

async fn until_gone(workspace: &Workspace) {
    let processes = processes(workspace);
    assert_eq!(processes.len(), 2, "codex and its tool have run");
    until("codex and its tool are gone", move || {
        !processes.iter().any(|pid| is_running(*pid))
    })
    .await;
}

/// Begins a turn, takes its first event, and waits until its tool runs and its next event finds no room: from then on the
/// turn waits for its caller, and for nothing else.
async fn begun(provider: &Provider, workspace: &Workspace) -> Turn {
    let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
    let first = turn.next().await;
    assert!(
        matches!(first, Some(Event::MessageStart { .. })),
        "{first:?}"
    );
    let (folder, provider) = (workspace.path().to_owned(), provider.clone());
    // Nothing says that a turn waits for its caller, but that it reads no more of what there is.
    let mut read = (0, Instant::now());
    until("the turn waits for its caller", move || {
        let bytes = provider.metrics().output_bytes;
        if bytes != read.0 {
            read = (bytes, Instant::now());
        }
        let tool_runs = children(&folder).is_ok_and(|children| children.len() == 1);
        tool_runs && bytes > WAITING - LINE && read.1.elapsed() > Duration::from_millis(300)
    })
    .await;
    turn
}

async fn end(turn: &mut Turn) -> (StopReason, Failure) {
    loop {
        if let Event::MessageEnd {
            stop_reason,
            failure,
            ..
        } = turn.next().await.unwrap()
        {
            return (stop_reason, failure.unwrap());
        }
    }
}

/// The end, which must come soon.
async fn soon(turn: &mut Turn) -> (StopReason, Failure) {
    let end = tokio::time::timeout(Duration::from_secs(30), end(turn)).await;
    end.expect("the turn ends")
}

#[tokio::test]
async fn a_cancelled_turn_that_nobody_reads_stops_codex() {
    let workspace = talkative();
    let provider = provider(one_second_of_grace());
    let mut turn = begun(&provider, &workspace).await;
    turn.cancel();
    until_gone(&workspace).await;
    let (reason, failure) = soon(&mut turn).await;
    assert_eq!(
        (reason, failure.kind),
        (StopReason::Aborted, FailureKind::Killed)
    );
    assert_eq!(turn.next().await, None);
}

#[tokio::test]
async fn a_cancelled_turn_that_nobody_reads_gives_its_workspace_back() {
    let workspace = talkative();
    let provider = provider(one_second_of_grace());
    let turn = begun(&provider, &workspace).await;
    turn.cancel();
    let mut next = provider.turn(workspace.path(), Request::prompt("again"));
    let first = tokio::time::timeout(Duration::from_secs(30), next.next()).await;
    let first = first.expect("the next turn begins");
    assert!(
        matches!(first, Some(Event::MessageStart { resumed: true, .. })),
        "{first:?}"
    );
}

#[tokio::test]
async fn a_turn_out_of_time_that_nobody_reads_stops_codex() {
    let workspace = talkative();
    let provider = provider(Limits {
        turn_seconds: 2,
        ..one_second_of_grace()
    });
    let mut turn = begun(&provider, &workspace).await;
    until_gone(&workspace).await;
    let (reason, failure) = soon(&mut turn).await;
    assert_eq!(
        (reason, failure.kind),
        (StopReason::Error, FailureKind::TurnTimeout)
    );
}

#[tokio::test]
async fn a_dropped_turn_stops_codex_and_its_tools() {
    let workspace = talkative();
    let provider = provider(one_second_of_grace());
    drop(begun(&provider, &workspace).await);
    until_gone(&workspace).await;
}

#[tokio::test]
async fn a_slow_caller_gets_all_the_output_of_a_codex_that_ended_long_ago() {
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::Flood {
            bytes: 4 << 20,
            line_len: 64 << 10,
        },
        Step::message("last"),
        Step::TurnCompleted,
    ];
    let workspace = Workspace::scripted(codex(), [steps]).unwrap();
    let mut turn = provider(Limits::default()).turn(workspace.path(), Request::prompt("hello"));
    let mut texts = Vec::new();
    loop {
        match turn.next().await.unwrap() {
            Event::TextDelta { text, .. } => texts.push(text.len()),
            Event::MessageEnd { stop_reason, .. } => {
                assert_eq!(stop_reason, StopReason::EndTurn);
                break;
            }
            Event::Notice { message, .. } => panic!("{message}"),
            _ => {}
        }
        if texts.len() == 1 {
            // Longer than output may come after the end of a codex that something holds open.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    assert_eq!((texts.len(), texts.last()), (65, Some(&4)));
}

#[tokio::test]
async fn a_store_that_hangs_does_not_keep_a_turn_from_ending() {
    for at in METHODS {
        for in_time in [true, false] {
            let steps = vec![Step::ThreadStarted, Step::TurnStarted, Step::Forever];
            let workspace = Workspace::scripted(codex(), [steps]).unwrap();
            if at == "set_aside" {
                let session = workspace.path().join(plexum_openai_provider::SESSION_FILE);
                std::fs::write(session, "not an id").unwrap();
            }
            let turn_seconds = if in_time { 600 } else { 1 };
            let provider = provider(Limits {
                turn_seconds,
                ..one_second_of_grace()
            })
            .with_session_store(FaultyStore::hangs_at(at));
            let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
            if at == "save" {
                let calls = workspace.path().to_owned();
                until("codex runs", move || {
                    plexum_openai_provider_tests::fake_codex::calls(&calls)
                        .is_ok_and(|calls| !calls.is_empty())
                })
                .await;
            }
            if in_time {
                turn.cancel();
            }
            let (reason, failure) = soon(&mut turn).await;
            let expected = if in_time {
                (StopReason::Aborted, FailureKind::Killed)
            } else {
                (StopReason::Error, FailureKind::TurnTimeout)
            };
            assert_eq!((reason, failure.kind), expected, "{at}: {failure:?}");
            // A codex that ran into the deadline is the component's to report, and not worth another try.
            assert!(failure.retryable || !in_time, "{at}: {failure:?}");
            for call in workspace.calls().unwrap() {
                assert!(!is_running(call.pid), "{at}");
            }
        }
    }
}

/// Starts codex, tells the test, and says so to the host only when the test lets it.
#[derive(Clone, Default)]
struct SlowSpawner {
    started: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Spawner for SlowSpawner {
    fn spawn<'a>(&'a self, command: Command<'a>) -> SpawnFuture<'a, Spawned> {
        Box::pin(async move {
            let spawned = Supervised.spawn(command).await?;
            self.started.notify_one();
            self.go_on.notified().await;
            Ok(spawned)
        })
    }
}

#[tokio::test]
async fn a_turn_that_is_cancelled_while_codex_starts_ends_when_codex_is_gone() {
    let steps = vec![
        Step::IgnoreSignals {
            signals: vec![libc::SIGINT],
        },
        Step::Forever,
    ];
    let workspace = Workspace::scripted(codex(), [steps]).unwrap();
    let spawner = SlowSpawner::default();
    let provider = provider(one_second_of_grace()).with_spawner(spawner.clone());
    let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
    spawner.started.notified().await;
    let folder = workspace.path().to_owned();
    until("codex runs", move || {
        plexum_openai_provider_tests::fake_codex::calls(&folder).is_ok_and(|calls| calls.len() == 1)
    })
    .await;
    turn.cancel();
    // The host hears of the cancel before it hears of codex.
    tokio::task::yield_now().await;
    spawner.go_on.notify_one();
    let (reason, failure) = soon(&mut turn).await;
    assert_eq!(
        (reason, failure.kind),
        (StopReason::Aborted, FailureKind::Killed)
    );
    let pid = workspace.calls().unwrap()[0].pid;
    assert!(!is_running(pid));
}

/// Never starts anything.
struct StuckSpawner;

impl Spawner for StuckSpawner {
    fn spawn<'a>(&'a self, _: Command<'a>) -> SpawnFuture<'a, Spawned> {
        Box::pin(pending())
    }
}

#[tokio::test]
async fn a_spawner_that_hangs_does_not_keep_a_turn_from_ending() {
    let workspace = Workspace::new(codex()).unwrap();
    let spawning = |limits| provider(limits).with_spawner(StuckSpawner);
    let cancelled = spawning(Limits::default());
    let mut turn = cancelled.turn(workspace.path(), Request::prompt("hello"));
    tokio::task::yield_now().await;
    turn.cancel();
    let (reason, failure) = soon(&mut turn).await;
    assert_eq!(
        (reason, failure.kind),
        (StopReason::Aborted, FailureKind::Killed)
    );

    let slow = spawning(Limits {
        start_seconds: 1,
        ..Limits::default()
    });
    let mut turn = slow.turn(workspace.path(), Request::prompt("hello"));
    let (reason, failure) = soon(&mut turn).await;
    assert_eq!(
        (reason, failure.kind, failure.retryable),
        (StopReason::Error, FailureKind::StartTimeout, true),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_turn_that_is_dropped_at_once_starts_nothing() {
    // One thread: no turn has begun when it is dropped.
    let workspaces: Vec<Workspace> = (0..20)
        .map(|_| Workspace::scripted(codex(), [Step::turn("hello").to_vec()]).unwrap())
        .collect();
    let provider = provider(Limits::default());
    for workspace in &workspaces {
        drop(provider.turn(workspace.path(), Request::prompt("hello")));
    }
    let metrics = provider.clone();
    until("all turns have ended", move || {
        metrics.metrics().turns_aborted == 20
    })
    .await;
    for workspace in &workspaces {
        assert!(workspace.calls().unwrap().is_empty());
    }
    assert_eq!(provider.metrics().codex_starts, 0);
}

#[tokio::test]
async fn a_turn_behind_one_that_is_held_up_elsewhere_says_so() {
    let forever = || vec![Step::ThreadStarted, Step::TurnStarted, Step::Forever];
    let (one, other) = (
        Workspace::scripted(codex(), [forever()]).unwrap(),
        Workspace::scripted(codex(), [forever()]).unwrap(),
    );
    let provider = provider(Limits {
        turns: 1,
        busy_seconds: 1,
        ..one_second_of_grace()
    });
    let request = || Request::prompt("hello");
    let mut runs = provider.turn(one.path(), request());
    assert!(matches!(
        runs.next().await,
        Some(Event::MessageStart { .. })
    ));
    let _held_up = provider.turn(other.path(), request());
    let mut behind_it = provider.turn(other.path(), request());
    let (_, failure) = soon(&mut behind_it).await;
    assert_eq!(failure.kind, FailureKind::SessionBusy);
    assert!(
        failure.message.contains("limits.turns"),
        "{}",
        failure.message
    );
    let mut in_use = provider.turn(one.path(), request());
    let (_, failure) = soon(&mut in_use).await;
    assert_eq!(failure.kind, FailureKind::SessionBusy);
    assert!(
        failure.message.contains("limits.busy_seconds"),
        "{}",
        failure.message
    );
}
