//! What a component may use up and hand back, and how it is stopped.

use std::time::{Duration, Instant};

use plexum_openai_provider::{Config, FailureKind, GuestLimits, Provider, Request, StopReason};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::wait::{is_running, wait_until};

use crate::bench::{Bench, allowed, deed, fake_codex, finish, scripted, workspace};

/// Small enough for a test to reach them.
const SMALL: GuestLimits = GuestLimits {
    memory_mib: 64,
    cpu_seconds: 1,
    spawns: 3,
    events: 10_000,
    event_mib: 8,
    log_lines: 100,
};

/// Time enough to compute that something else must end the turn, and yet an end: where the component
/// does not let others run, no timer of a test does either.
const LONG: GuestLimits = GuestLimits {
    cpu_seconds: 30,
    ..SMALL
};

async fn all_end_so(cases: &[(&str, FailureKind, &str)]) {
    let bench = Bench::new(SMALL);
    for (prompt, kind, named) in cases {
        let (told, calls) = bench.try_out(&workspace(), prompt).await;
        assert_eq!(told.kind, Some(*kind), "{prompt}: {}", told.message);
        assert!(told.message.contains(named), "{prompt}: {}", told.message);
        assert_eq!(calls, 0, "{prompt}");
    }
}

#[tokio::test]
async fn what_never_ends_is_stopped() {
    let cpu = "computed for 1 s without a word from codex (`guest.cpu_seconds` in config.json)";
    all_end_so(&[
        ("loop", FailureKind::Internal, cpu),
        ("loop-in-start", FailureKind::Internal, cpu),
        ("log", FailureKind::Internal, cpu),
        ("settings", FailureKind::Internal, cpu),
        ("sessions", FailureKind::Internal, cpu),
        ("events", FailureKind::Internal, "`guest.events`"),
        ("recursion", FailureKind::Internal, "bytes of stack"),
    ])
    .await;
}

#[tokio::test]
async fn what_grows_is_stopped() {
    all_end_so(&[
        (
            "memory",
            FailureKind::Internal,
            "64 MiB (`guest.memory_mib`",
        ),
        ("handles", FailureKind::Internal, "handle limit"),
        (
            "event-batch:20000",
            FailureKind::Internal,
            "10000 events (`guest.events`",
        ),
        (
            "shared-text:12",
            FailureKind::Internal,
            "8 MiB (`guest.event_mib`",
        ),
        (
            "save-bytes:100000000",
            FailureKind::Internal,
            "`guest.memory_mib`",
        ),
        (
            "save-bytes:1000000",
            FailureKind::Denied,
            "only a thread id",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_handed_over_in_one_call_is_bounded() {
    let bench = Bench::new(GuestLimits {
        memory_mib: 1024,
        ..GuestLimits::default()
    });
    for prompt in ["save-bytes:100000000", "shared-text:100"] {
        let (told, _) = bench.try_out(&workspace(), prompt).await;
        assert_eq!(told.kind, Some(FailureKind::Internal), "{prompt}: {told:?}");
        let named = "more than 67108864 bytes in one call";
        assert!(told.message.contains(named), "{prompt}: {}", told.message);
    }
}

#[tokio::test]
async fn what_breaks_ends_in_a_failure_that_says_so() {
    all_end_so(&[
        (
            "panic:with words",
            FailureKind::Internal,
            "a panic in next: with words",
        ),
        ("panic-in-start", FailureKind::Internal, "a panic in start"),
        ("trap", FailureKind::Internal, "unreachable"),
        ("trap-later", FailureKind::Internal, "unreachable"),
        ("no-end", FailureKind::Internal, "without saying how"),
        ("nothing", FailureKind::Internal, "without saying how"),
        ("refuse-to-start", FailureKind::Internal, "does not want to"),
        ("thread:../../x", FailureKind::Internal, "no thread id"),
        ("thread:a\nb", FailureKind::Internal, "no thread id"),
        ("thread:", FailureKind::Internal, "no thread id"),
    ])
    .await;
}

#[tokio::test]
async fn nothing_follows_the_end() {
    let bench = Bench::new(SMALL);
    for (prompt, before) in [("end", 0), ("two-ends", 0), ("after-the-end", 1)] {
        let (told, _) = bench.try_out(&workspace(), prompt).await;
        assert_eq!(told.stop_reason, StopReason::EndTurn, "{prompt}: {told:?}");
        assert_eq!(told.events.len(), before, "{prompt}: {told:?}");
    }
    // Chattering is no failure: what is too much is left out.
    for prompt in ["log-then-end:1000", "forge-log"] {
        let (told, _) = bench.try_out(&workspace(), prompt).await;
        assert_eq!(told.stop_reason, StopReason::EndTurn, "{prompt}: {told:?}");
    }
}

#[tokio::test]
async fn codex_is_started_so_often_and_no_oftener() {
    let bench = Bench::new(SMALL);
    let codex = scripted([vec![Step::ThreadStarted, Step::Forever]]);
    let told = finish(bench.begin(&codex, &deed("spawns", &allowed()))).await;
    let calls = codex.calls().unwrap();
    assert_eq!(told.kind, Some(FailureKind::Denied), "{told:?}");
    assert!(
        told.message
            .contains("3 times in this turn already (`guest.spawns`"),
        "{told:?}"
    );
    assert_eq!(calls.len(), 3, "{calls:?}");
    for call in calls {
        tokio::task::spawn_blocking(move || {
            wait_until("codex has ended", || !is_running(call.pid));
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn who_does_not_take_no_for_an_answer_is_stopped() {
    let bench = Bench::new(SMALL);
    let (told, calls) = bench
        .try_out(&workspace(), &deed("insist", &["exec", "-C", "/"]))
        .await;
    assert_eq!((told.kind, calls), (Some(FailureKind::Denied), 0));
    assert!(told.message.contains("64 times"), "{told:?}");
    assert!(told.message.contains("argument 2"), "{told:?}");
}

#[tokio::test]
async fn others_on_the_same_thread_go_on_while_it_loops() {
    let bench = Bench::new(LONG);
    let codex = workspace();
    let looping = bench.begin(&codex, "loop");
    let elsewhere = workspace();
    for _ in 0..3 {
        let honest = bench.serves(elsewhere.path());
        tokio::time::timeout(Duration::from_secs(20), honest)
            .await
            .unwrap();
    }
    drop(looping);
}

#[tokio::test]
async fn a_cancelled_turn_ends_although_its_component_loops() {
    let bench = Bench::new(LONG);
    let codex = scripted([vec![Step::ThreadStarted, Step::Forever]]);
    let turn = bench.begin(&codex, &deed("loop-after-start", &allowed()));
    while codex.calls().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = codex.calls().unwrap()[0].pid;
    let began = Instant::now();
    turn.cancel();
    let told = finish(turn).await;
    assert_eq!(
        (told.stop_reason, told.kind),
        (StopReason::Aborted, Some(FailureKind::Killed))
    );
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    tokio::task::spawn_blocking(move || wait_until("codex has ended", || !is_running(pid)))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_next_turn_waits_until_the_codex_of_a_stopped_component_is_gone() {
    let bench = Bench::new(SMALL);
    let deaf = vec![
        Step::IgnoreSignals { signals: vec![2] },
        Step::ThreadStarted,
        Step::Forever,
    ];
    let codex = scripted([deaf, Step::turn("hello").to_vec()]);
    let told = finish(bench.begin(&codex, &deed("loop-after-start", &allowed()))).await;
    assert_eq!(told.kind, Some(FailureKind::Internal), "{}", told.message);
    let pid = codex.calls().unwrap()[0].pid;
    bench.serves(codex.path()).await;
    assert!(
        !is_running(pid),
        "two codex processes were at work in one folder"
    );
}

#[tokio::test]
async fn a_dropped_turn_frees_its_workspace_although_its_component_loops() {
    let bench = Bench::new(LONG);
    let codex = workspace();
    let turn = bench.begin(&codex, "loop");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    drop(turn);
    bench.serves(codex.path()).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn waiting_for_codex_is_not_computing() {
    let codex = scripted([vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::Pause { millis: 1500 },
        Step::message("at last"),
        Step::Pause { millis: 1500 },
        Step::TurnCompleted,
    ]]);
    let config = Config {
        binary: Some(fake_codex().into()),
        guest: SMALL,
        ..Config::default()
    };
    let turn = Provider::new(config)
        .unwrap()
        .turn(codex.path(), Request::prompt("hello"));
    let told = finish(turn).await;
    assert_eq!(told.stop_reason, StopReason::EndTurn, "{told:?}");
}
