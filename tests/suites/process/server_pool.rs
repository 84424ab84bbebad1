//! How many codex processes wait for their next turn, for how long, and what they cost.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plexum_openai_provider::{Config, Event, Provider, Request, ServerLimits, Transport};
use plexum_openai_provider_tests::census::Census;
use plexum_openai_provider_tests::fake_codex::{ServerScript, Step, calls};
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use plexum_openai_provider_tests::warm::signal;
use plexum_openai_provider_tests::workspace::Workspace;
use tokio::task::JoinSet;

/// A provider whose codex is a fake one, and workspaces for it.
struct Pool {
    provider: Provider,
    workspaces: Vec<Workspace>,
}

impl Pool {
    fn new(workspaces: usize, change: impl FnOnce(&mut ServerLimits)) -> Self {
        let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
        let mut server = ServerLimits::default();
        change(&mut server);
        let config = Config {
            binary: Some(codex.to_owned()),
            transport: Some(Transport::AppServer),
            server,
            ..Config::default()
        };
        let workspaces: Vec<_> = (0..workspaces)
            .map(|_| Workspace::new(codex).unwrap())
            .collect();
        let sessions = workspaces.first().unwrap().sessions();
        Pool {
            provider: Provider::new(config).unwrap().with_session_store(sessions),
            workspaces,
        }
    }

    fn path(&self, number: usize) -> &Path {
        self.workspaces.get(number).unwrap().path()
    }

    async fn turn(&self, number: usize) {
        let mut turn = self
            .provider
            .turn(self.path(number), Request::prompt("hello"));
        let mut text = String::new();
        while let Some(event) = turn.next().await {
            match event {
                Event::TextDelta { text: more, .. } => text.push_str(&more),
                Event::MessageEnd { failure, .. } => assert_eq!(failure, None, "{number}"),
                _ => {}
            }
        }
        assert_eq!(text, "echo: hello", "{number}");
    }

    /// Each codex that was started in a workspace, in that order.
    fn started(&self, number: usize) -> Vec<i32> {
        let calls = calls(self.path(number)).unwrap();
        calls.iter().map(|call| call.pid).collect()
    }

    /// The workspaces in which one runs.
    fn running(&self) -> Vec<usize> {
        let runs = |number: &usize| self.started(*number).into_iter().any(is_running);
        (0..self.workspaces.len()).filter(runs).collect()
    }

    async fn until_running(&self, expected: &[usize]) {
        let mut tries = 0;
        while self.running() != expected {
            tries += 1;
            assert!(tries < 6000, "{:?} run, not {expected:?}", self.running());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_so_many_wait_and_the_oldest_is_closed() {
    let pool = Pool::new(8, |limits| limits.processes = 3);
    for number in 0..8 {
        pool.turn(number).await;
    }
    pool.until_running(&[5, 6, 7]).await;
    // It is the newest then.
    pool.turn(5).await;
    assert_eq!(pool.started(5).len(), 1);
    pool.turn(0).await;
    assert_eq!(pool.started(0).len(), 2);
    pool.until_running(&[0, 5, 7]).await;
    pool.provider.close().await;
    assert!(pool.running().is_empty());
    // From here on none waits.
    pool.turn(0).await;
    pool.until_running(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workspaces_at_once() {
    for (workspaces, processes) in [(1, 1), (8, 8), (32, 4), (32, 0)] {
        let pool = Arc::new(Pool::new(workspaces, |limits| limits.processes = processes));
        for _ in 0..2 {
            let mut turns = JoinSet::new();
            for number in 0..workspaces {
                let pool = Arc::clone(&pool);
                turns.spawn(async move { pool.turn(number).await });
            }
            turns.join_all().await;
        }
        let expected = workspaces.min(processes as usize);
        wait_until("the surplus is closed", || pool.running().len() == expected);
        pool.provider.close().await;
        assert!(pool.running().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_replaced_after_so_many_turns() {
    let pool = Pool::new(1, |limits| limits.turns = 3);
    for turns in 1..=7_usize {
        pool.turn(0).await;
        assert_eq!(pool.started(0).len(), turns.div_ceil(3), "{turns}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_waited_long_enough_is_closed() {
    const IDLE: u32 = 5;
    let pool = Pool::new(2, |limits| limits.idle_seconds = IDLE);
    pool.turn(0).await;
    let began = Instant::now();
    // Turns of the other one come ten times as often as it would have to wait.
    while pool.running() != [1] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        pool.turn(1).await;
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}",
            pool.running()
        );
    }
    assert!(began.elapsed() >= Duration::from_secs(IDLE.into()));
    // The other one never waited for so long.
    assert_eq!(pool.started(1).len(), 1);
    pool.until_running(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_is_forgotten() {
    let pool = Pool::new(1, |_| {});
    let before = Census::take().unwrap().descriptors.len();
    pool.turn(0).await;
    let [codex] = pool.started(0)[..] else {
        panic!("not one");
    };
    signal(codex, libc::SIGKILL);
    // Without another turn: its descriptors are closed, and so are those of its supervisor.
    let mut tries = 0;
    while Census::take().unwrap().descriptors.len() > before + 1 {
        tries += 1;
        let open = Census::take().unwrap().descriptors;
        assert!(tries < 6000, "{open:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pool.turn(0).await;
    assert_eq!(pool.started(0).len(), 2);
}

/// How many turns the pool does before it is measured, and after.
const TURNS: [usize; 2] = [40, 80];

#[tokio::test(flavor = "multi_thread")]
async fn turns_leave_no_descriptors_and_no_memory() {
    let pool = Pool::new(3, |limits| (limits.processes, limits.turns) = (2, 50));
    let mut measured = Vec::new();
    for turns in TURNS {
        for turn in 0..turns {
            // Two of three wait, so each finds another one's place.
            pool.turn(turn % 3).await;
            pool.turn(turn % 3).await;
        }
        wait_until("the surplus is closed", || pool.running().len() == 2);
        measured.push(Census::take().unwrap());
    }
    let [before, after] = &measured[..] else {
        panic!("not two");
    };
    eprintln!(
        "{TURNS:?} twice: {} and {} descriptors, {} and {} KiB",
        before.descriptors.len(),
        after.descriptors.len(),
        before.resident_kib,
        after.resident_kib
    );
    let (some, more) = (&before.descriptors, &after.descriptors);
    assert!(more.len() <= some.len() + 2, "{some:#?} {more:#?}");
    after.check_memory(before).unwrap();
}

/// One that does not end when its standard input does is ended.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_end_by_itself_is_ended() {
    let pool = Pool::new(1, |_| {});
    let steps = [
        Step::IgnoreSignals {
            signals: vec![libc::SIGINT],
        },
        Step::turn_accepted(),
        Step::turn_started(),
        Step::emit(
            r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"m","text":"echo: hello"},"threadId":$THREAD,"turnId":$TURN}}"#,
        ),
        Step::turn_completed("completed"),
        Step::Forever,
    ];
    let deaf = ServerScript::default().answer("turn/start", steps);
    deaf.write_to(pool.path(0)).unwrap();
    pool.turn(0).await;
    assert_eq!(pool.running(), [0]);
    pool.provider.close().await;
    assert!(pool.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_each_is_counted() {
    let pool = Pool::new(4, |limits| {
        (limits.processes, limits.turns, limits.idle_seconds) = (2, 3, 600);
    });
    let counted = || serde_json::to_value(pool.provider.metrics().servers).unwrap();
    // Three turns, and it is worn; two of three others wait.
    for number in [0, 0, 0, 1, 2, 3] {
        pool.turn(number).await;
    }
    let servers = counted();
    assert_eq!(servers["waiting"], 2, "{servers:#}");
    assert_eq!(
        (&servers["cold_turns"], &servers["warm_turns"]),
        (&4.into(), &2.into())
    );
    assert_eq!(
        servers["closed"],
        serde_json::json!({ "surplus": 1, "worn": 1 })
    );
    assert_eq!(servers["cold_to_first_text"]["count"], 4);
    assert_eq!(servers["warm_to_first_text"]["count"], 2);
    // One dies while it waits.
    let waits = pool.started(3);
    signal(*waits.last().unwrap(), libc::SIGKILL);
    let mut tries = 0;
    while counted()["waiting"] != 1 {
        tries += 1;
        assert!(tries < 6000, "{:#}", counted());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pool.provider.close().await;
    let expected = serde_json::json!({ "surplus": 1, "worn": 1, "broken": 1, "shutdown": 1 });
    assert_eq!(counted()["closed"], expected);
    assert_eq!(counted()["waiting"], 0);
}
