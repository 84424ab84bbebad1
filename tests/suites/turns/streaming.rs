//! Events reach the caller while codex is still at work, and a caller can stop it there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use plexum_openai_provider::{
    Config, Content, Event, FailureKind, ImageSource, Message, Provider, Request, Role,
    SessionFiles, StopReason, Turn,
};
use plexum_openai_provider_tests::fake_codex::{ChildGroup, Step, children};
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use plexum_openai_provider_tests::workspace::Workspace;

/// Far longer than a turn takes here on any machine, and less than the clocks of the host would stop it after.
const HANGS: Duration = Duration::from_secs(120);

fn paused(then: impl IntoIterator<Item = Step>) -> (Workspace, Turn) {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let mut steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("first"),
    ];
    steps.extend(then);
    let workspace = Workspace::scripted(codex, [steps]).unwrap();
    let config = Config {
        binary: Some(codex.into()),
        ..Config::default()
    };
    let turn = Provider::new(config)
        .unwrap()
        .with_session_store(SessionFiles::default().without_state())
        .turn(workspace.path(), Request::prompt("hello"));
    (workspace, turn)
}

fn text(text: &str, index: u32) -> Option<Event> {
    Some(Event::TextDelta {
        index,
        text: text.into(),
    })
}

/// Takes events up to this one.
async fn until(turn: &mut Turn, event: Option<Event>) {
    loop {
        let next = turn.next().await;
        if next == event {
            return;
        }
        assert_ne!(next, None, "the turn is over");
    }
}

/// Takes events up to the turn's end, and says how it ended.
async fn end(turn: &mut Turn) -> StopReason {
    loop {
        let event = turn.next().await;
        if let Some(Event::MessageEnd { stop_reason, .. }) = event {
            return stop_reason;
        }
        assert!(event.is_some(), "the turn has no end");
    }
}

#[tokio::test]
async fn an_event_arrives_while_codex_waits() {
    let (workspace, mut turn) = paused([
        Step::wait_for_file("go"),
        Step::message("second"),
        Step::TurnCompleted,
    ]);
    assert!(matches!(
        turn.next().await,
        Some(Event::MessageStart { resumed: false, .. })
    ));
    // Codex cannot say another word until the file is there.
    assert!(
        workspace.session().unwrap().is_some(),
        "the id is kept before anything is told"
    );
    assert_eq!(turn.next().await, text("first", 0));
    assert!(is_running(workspace.calls().unwrap()[0].pid));
    std::fs::write(workspace.path().join("go"), "").unwrap();
    assert_eq!(turn.next().await, text("second", 1));
    assert!(matches!(
        turn.next().await,
        Some(Event::MessageEnd {
            stop_reason: StopReason::EndTurn,
            ..
        })
    ));
    assert_eq!(turn.next().await, None);
}

/// The component copies short texts in other ways than long ones.
#[tokio::test]
async fn texts_of_every_length_arrive_whole() {
    let texts: Vec<String> = (1..=1100)
        .map(|length: usize| {
            let letters = (0..length).map(|at| b'a' + ((at * 7 + at / 26 + length) % 26) as u8);
            String::from_utf8(letters.collect()).unwrap()
        })
        .collect();
    let messages = texts.iter().map(Step::message);
    let (_workspace, mut turn) = paused(messages.chain([Step::TurnCompleted]));
    until(&mut turn, text("first", 0)).await;
    for (index, expected) in (1..).zip(&texts) {
        assert_eq!(turn.next().await, text(expected, index));
    }
}

/// Looked at as soon as the end is heard: the turn's own task has not run since.
#[tokio::test]
async fn who_hears_of_the_end_finds_the_conversation_free_and_no_image() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace =
        Workspace::scripted(codex, [(); 2].map(|()| Step::turn("hello").to_vec())).unwrap();
    let config = Config {
        binary: Some(codex.into()),
        ..Config::default()
    };
    let text = "look".into();
    let data = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=".into();
    let source = ImageSource::Base64 {
        media_type: None,
        data,
    };
    let content = vec![Content::Text { text }, Content::Image { source }];
    let request = Request::new(vec![Message::new(Role::User, content)]);
    let provider = Provider::new(config)
        .unwrap()
        .with_session_store(SessionFiles::default().without_state());
    // The first turn has its thread's id written to the disk, which its end does not wait for, but the next turn does.
    for request in [Request::prompt("hello"), request] {
        let mut turn = provider.turn(workspace.path(), request);
        assert_eq!(end(&mut turn).await, StopReason::EndTurn);
    }
    File::open(workspace.path()).unwrap().try_lock().unwrap();
    let call = &workspace.calls().unwrap()[1];
    let image = call.argv.iter().find(|word| word.ends_with(".gif"));
    let image = Path::new(image.unwrap());
    assert!(image.is_absolute() && !image.exists(), "{image:?}");
}

#[tokio::test]
async fn a_turn_whose_events_nobody_takes_holds_up_no_other() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    // More events than may wait, and fewer bytes than a pipe takes.
    let flood = Step::Flood {
        bytes: 20_000,
        line_len: 200,
    };
    let first = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        flood,
        Step::touch("said"),
        Step::Forever,
    ];
    let workspace = Workspace::scripted(codex, [first, Step::turn("hello").to_vec()]).unwrap();
    let mut config = Config {
        binary: Some(codex.into()),
        ..Config::default()
    };
    config.limits.grace_seconds = 1;
    config.limits.turns = 1;
    let provider = Provider::new(config)
        .unwrap()
        .with_session_store(SessionFiles::default().without_state());
    let mut first = provider.turn(workspace.path(), Request::prompt("one"));
    assert!(matches!(
        first.next().await,
        Some(Event::MessageStart { .. })
    ));
    let said = workspace.path().join("said");
    let is_said = move || wait_until("codex has said all", || said.exists());
    tokio::task::spawn_blocking(is_said).await.unwrap();
    first.cancel();
    let mut second = provider.turn(workspace.path(), Request::prompt("two"));
    let ends = tokio::time::timeout(HANGS, end(&mut second)).await;
    assert_eq!(ends, Ok(StopReason::EndTurn));
    // Its end waits for whoever takes it, however late.
    assert_eq!(end(&mut first).await, StopReason::Aborted);
}

#[tokio::test]
async fn a_cancelled_turn_ends_and_leaves_no_codex() {
    let (workspace, mut turn) = paused([Step::Forever]);
    until(&mut turn, text("first", 0)).await;
    turn.cancel();
    let Some(Event::MessageEnd {
        stop_reason,
        failure,
        ..
    }) = turn.next().await
    else {
        panic!("no end")
    };
    assert_eq!(stop_reason, StopReason::Aborted);
    assert_eq!(
        failure.map(|failure| failure.kind),
        Some(FailureKind::Killed)
    );
    assert_eq!(turn.next().await, None);
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
    assert!(workspace.session().unwrap().is_some());
}

#[tokio::test]
async fn a_codex_that_ignores_the_interrupt_is_killed() {
    let (workspace, mut turn) = paused([
        Step::IgnoreSignals {
            signals: vec![2, 15],
        },
        Step::message("deaf"),
        Step::Forever,
    ]);
    until(&mut turn, text("deaf", 1)).await;
    turn.cancel();
    assert!(matches!(
        turn.next().await,
        Some(Event::MessageEnd {
            stop_reason: StopReason::Aborted,
            ..
        })
    ));
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
}

#[tokio::test]
async fn a_dropped_turn_stops_codex() {
    let (workspace, mut turn) = paused([Step::Forever]);
    until(&mut turn, text("first", 0)).await;
    drop(turn);
    let pid = workspace.calls().unwrap()[0].pid;
    tokio::task::spawn_blocking(move || wait_until("codex has ended", || !is_running(pid)))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_next_turn_waits_until_the_codex_of_a_dropped_one_is_gone() {
    let deaf = vec![
        Step::IgnoreSignals { signals: vec![2] },
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("deaf"),
        Step::Forever,
    ];
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::scripted(codex, [deaf, Step::turn("hello").to_vec()]).unwrap();
    let config = Config {
        binary: Some(codex.into()),
        ..Config::default()
    };
    let provider = Provider::new(config)
        .unwrap()
        .with_session_store(SessionFiles::default().without_state());
    let mut first = provider.turn(workspace.path(), Request::prompt("one"));
    while first.next().await != text("deaf", 0) {}
    let pid = workspace.calls().unwrap()[0].pid;
    drop(first);
    let mut second = provider.turn(workspace.path(), Request::prompt("two"));
    assert!(matches!(
        second.next().await,
        Some(Event::MessageStart { resumed: true, .. })
    ));
    assert!(
        !is_running(pid),
        "two codex processes had the thread at once"
    );
}

#[tokio::test]
async fn a_process_that_codex_left_behind_does_not_hold_the_end_up() {
    // Longer than the test may take.
    let child = Step::LeaveChild {
        millis: 3_600_000,
        hold_stdout: true,
        group: ChildGroup::Session,
    };
    let (workspace, mut turn) = paused([child, Step::TurnCompleted]);
    let end = tokio::time::timeout(HANGS, end(&mut turn)).await;
    assert_eq!(
        end,
        Ok(StopReason::EndTurn),
        "the turn waited for the child"
    );
    // It was ended with the turn, and before the end was handed out.
    let children = children(workspace.path()).unwrap();
    assert_eq!(children.len(), 1);
    assert!(!is_running(children[0]), "the child is left");
}
