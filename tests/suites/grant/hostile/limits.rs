//! What a component may use up and hand back, and how it is stopped.

use std::time::{Duration, Instant};

use plexum_openai_provider::{
    Config, Event, FailureKind, GuestLimits, Limits, Provider, Request, SessionFiles, StopReason,
};
use plexum_openai_provider_tests::cpu_time;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::wait::{is_running, wait_until};

use crate::bench::{Bench, allowed, component, deed, fake_codex, finish, scripted, workspace};

/// Small enough for a test to reach them, but for the time to compute: whichever limit is meant must come first on a busy
/// machine too. That time has an end all the same: where the component does not let others run, no timer of a test does
/// either.
const SMALL: GuestLimits = GuestLimits {
    memory_mib: 64,
    cpu_seconds: 30,
    spawns: 3,
    events: 10_000,
    event_mib: 8,
    log_lines: 100,
};

/// As [`SMALL`], for what does nothing but compute.
const BRIEF: GuestLimits = GuestLimits {
    cpu_seconds: 1,
    ..SMALL
};

/// How much this thread may compute until a stop has its effect: a fraction of what [`SMALL`] lets the component compute, and
/// many times what it takes. A component that computes does so on the thread of the test; what else the machine does in
/// the meantime does not count.
const SOON: Duration = Duration::from_secs(2);

/// Lets others run until a component has begun to compute.
async fn until_it_computes() {
    let began = cpu_time::of_this_thread();
    while cpu_time::of_this_thread() - began < Duration::from_millis(200) {
        tokio::task::yield_now().await;
    }
}

async fn all_end_so(limits: GuestLimits, cases: &[(&str, FailureKind, &str)]) {
    let bench = Bench::new(limits);
    for (prompt, kind, named) in cases {
        let (told, calls) = bench.try_out(&workspace(), prompt).await;
        assert_eq!(told.kind, Some(*kind), "{prompt}: {}", told.message);
        assert!(told.message.contains(named), "{prompt}: {}", told.message);
        assert_eq!(calls, 0, "{prompt}");
    }
}

#[tokio::test]
async fn what_never_ends_is_stopped() {
    let cpu = "computed for 1 s without output from codex (`guest.cpu_seconds` in config.json)";
    all_end_so(
        BRIEF,
        &[
            ("loop", FailureKind::Internal, cpu),
            ("loop-in-start", FailureKind::Internal, cpu),
            ("log", FailureKind::Internal, cpu),
            ("settings", FailureKind::Internal, cpu),
            ("sessions", FailureKind::Internal, cpu),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_grows_is_stopped() {
    all_end_so(
        SMALL,
        &[
            ("events", FailureKind::Internal, "`guest.events`"),
            ("recursion", FailureKind::Internal, "bytes of stack"),
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
        ],
    )
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
    all_end_so(
        SMALL,
        &[
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
            (
                "thread:../../x",
                FailureKind::Internal,
                "thread id that is not valid",
            ),
            (
                "thread:a\nb",
                FailureKind::Internal,
                "thread id that is not valid",
            ),
            (
                "thread:",
                FailureKind::Internal,
                "thread id that is not valid",
            ),
        ],
    )
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
    let bench = Bench::new(SMALL);
    let codex = workspace();
    let mut looping = bench.begin(&codex, "loop");
    let elsewhere = workspace();
    for _ in 0..3 {
        bench.serves(elsewhere.path()).await;
    }
    let event = tokio::time::timeout(Duration::ZERO, looping.next()).await;
    assert!(event.is_err(), "others had to wait for its end: {event:?}");
}

#[tokio::test]
async fn a_cancelled_turn_ends_although_its_component_loops() {
    let bench = Bench::new(SMALL);
    let codex = scripted([vec![Step::ThreadStarted, Step::Forever]]);
    let turn = bench.begin(&codex, &deed("loop-after-start", &allowed()));
    while codex.calls().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = codex.calls().unwrap()[0].pid;
    until_it_computes().await;
    let before = cpu_time::of_this_thread();
    turn.cancel();
    let told = finish(turn).await;
    let computed = cpu_time::of_this_thread() - before;
    assert_eq!(
        (told.stop_reason, told.kind),
        (StopReason::Aborted, Some(FailureKind::Killed))
    );
    assert!(computed < SOON, "it has computed for {computed:?} more");
    tokio::task::spawn_blocking(move || wait_until("codex has ended", || !is_running(pid)))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_next_turn_waits_until_the_codex_of_a_stopped_component_is_gone() {
    let bench = Bench::new(BRIEF);
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
async fn what_it_leaves_running_is_stopped_at_once_and_gone_before_the_end() {
    let deaf = vec![
        Step::IgnoreSignals { signals: vec![2] },
        Step::ThreadStarted,
        Step::Forever,
    ];
    let codex = scripted([deaf]);
    let config = Config {
        binary: Some(fake_codex().into()),
        limits: Limits {
            grace_seconds: 3,
            ..Limits::default()
        },
        ..Config::default()
    };
    let hostile = Provider::with_component(config, component()).unwrap();
    let prompt = deed("leaves-running", &allowed());
    let mut turn = hostile.turn(codex.path(), Request::prompt(prompt));
    // The last one has been heard, or nearly so.
    let calls = || codex.calls().unwrap();
    let mut end = None;
    let mut began = None;
    while end.is_none() {
        tokio::select! {
            event = turn.next() => end = event,
            () = tokio::time::sleep(Duration::from_millis(10)), if began.is_none() => {
                began = (calls().len() == 8).then(Instant::now);
            }
        }
    }
    let Some(Event::MessageEnd { .. }) = end else {
        panic!("{end:?}");
    };
    let running = calls().iter().filter(|call| is_running(call.pid)).count();
    assert_eq!(running, 0);
    // One after the other, the grace period would pass eight times.
    let took = began.unwrap().elapsed();
    assert!(took < Duration::from_secs(9), "it took {took:?}");
}

#[tokio::test]
async fn a_dropped_turn_frees_its_workspace_although_its_component_loops() {
    let bench = Bench::new(SMALL);
    let codex = workspace();
    let turn = bench.begin(&codex, "loop");
    until_it_computes().await;
    let before = cpu_time::of_this_thread();
    drop(turn);
    bench.serves(codex.path()).await;
    let computed = cpu_time::of_this_thread() - before;
    assert!(computed < SOON, "it has computed for {computed:?} more");
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
        .with_session_store(SessionFiles::default().without_state())
        .turn(codex.path(), Request::prompt("hello"));
    let told = finish(turn).await;
    assert_eq!(told.stop_reason, StopReason::EndTurn, "{told:?}");
}

#[tokio::test]
async fn backing_off_without_end_neither_panics_nor_waits() {
    let bench = Bench::new(GuestLimits::default());
    // No second is left for waiting.
    let (told, calls) = bench.try_out(&workspace(), "back-off:200").await;
    assert_eq!(
        (told.stop_reason, calls),
        (StopReason::EndTurn, 0),
        "{told:?}"
    );
}
