//! The supervisor of a turn is above codex's tools, and the host is above the supervisor: whatever a tool does to it, the
//! turn ends, nothing of it is left, and the next one begins.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plexum_openai_provider::{
    Config, Event, Limits, Provider, Request, SessionFiles, StopReason, Turn,
};
use plexum_openai_provider_tests::attack::{Attack, supervisor_of, warns};
use plexum_openai_provider_tests::cgroup::TestCgroup;
use plexum_openai_provider_tests::fake_codex::{Step, calls, children};
use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::wait::{is_running, processes_with, wait_until};
use plexum_openai_provider_tests::workspace::{Said, Workspace, program};
use serde_json::json;

const GRACE: Duration = Duration::from_secs(4);

/// How long a turn may go on after an attack: two seconds more than the grace period.
const SOON: Duration = Duration::from_secs(6);

fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

/// The first codex of this workspace has a tool in a session of its own, pays no heed to SIGINT, and completes its turn
/// when it is told to. The next one just answers.
fn workspace() -> Workspace {
    let first = vec![
        Step::IgnoreSignals { signals: vec![2] },
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::tool_in_its_own_session(),
        Step::message("here"),
        Step::touch("ready"),
        Step::wait_for_file("go"),
        Step::TurnCompleted,
    ];
    let workspace =
        Workspace::scripted(fake_codex(), [first, Step::turn("next").to_vec()]).unwrap();
    let limits = json!({ "grace_seconds": GRACE.as_secs() });
    let config = json!({ "binary": fake_codex(), "limits": limits });
    workspace.configure(&config).unwrap();
    workspace
}

/// Attacks the supervisor of the workspace's first turn as soon as its tool runs. Codex then goes on, or completes its turn.
/// Returns when the attack was made.
fn attack(workspace: &Path, (attack, completes): (Attack, bool)) -> Instant {
    let ready = workspace.join("ready");
    wait_until("codex has a tool", || ready.exists());
    let codex = calls(workspace).unwrap()[0].pid;
    let supervisor = supervisor_of(codex).unwrap();
    make(attack, supervisor);
    let attacked = Instant::now();
    if completes {
        std::fs::write(workspace.join("go"), "").unwrap();
    }
    attacked
}

/// Makes an attack, and returns when it was made. The attacker lives until the supervisor is gone or the test is over.
fn make(attack: Attack, supervisor: i32) {
    let (sender, attacked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if attack == Attack::KeepStopped {
            sender.send(()).unwrap();
        }
        attack.on(supervisor).unwrap();
        // The test may be over.
        let _ = sender.send(());
        wait_until("the supervisor is gone", || !is_running(supervisor));
    });
    attacked.recv().unwrap();
}

fn nothing_is_left(workspace: &Path, case: (Attack, bool)) {
    let codex = calls(workspace).unwrap()[0].pid;
    let tools = children(workspace).unwrap();
    assert_eq!(tools.len(), 1);
    assert!(!is_running(codex), "{case:?}: codex runs");
    assert!(!is_running(tools[0]), "{case:?}: its tool runs");
}

/// The attacks, each on a turn that would go on and on a turn that is about to be completed.
fn cases() -> impl Iterator<Item = (Attack, bool)> {
    let both = Attack::possible().flat_map(|attack| [(attack, false), (attack, true)]);
    both
        // These do not end a turn that goes on.
        .filter(|(attack, completes)| attack.is_noticed() == Some(true) || *completes)
}

/// Checks what was said of a turn under attack.
fn check((attack, completes): (Attack, bool), events: &[Event]) {
    let Some(Event::MessageEnd { stop_reason, .. }) = events.last() else {
        panic!("{attack:?}: {events:?}");
    };
    let expected = match completes {
        true => StopReason::EndTurn,
        false => StopReason::Error,
    };
    assert_eq!(*stop_reason, expected, "{attack:?}: {events:?}");
    if let Some(expected) = attack.is_noticed() {
        assert_eq!(
            warns(events, "supervisor"),
            expected,
            "{attack:?}: {events:?}"
        );
    }
}

#[test]
fn in_say() {
    for case in cases() {
        let workspace = workspace();
        let say = workspace.say(["--json", "hello"]).spawn().unwrap();
        let began = attack(workspace.path(), case);
        let said = Said::by(&say.wait_with_output().unwrap()).unwrap();
        nothing_is_left(workspace.path(), case);
        check(case, &said.events);
        let next = workspace.turn(None, "again").unwrap();
        assert_eq!(next.text(), "next", "{case:?}: {next:?}");
        let took = began.elapsed();
        assert!(took < SOON, "{case:?}: it took {took:?}");
    }
}

#[test]
fn in_serve() {
    let config = workspace();
    let mut serve = Command::new(program())
        .args(["serve", "--config"])
        .arg(config.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .default_signals()
        .spawn()
        .unwrap();
    let mut stdin = serve.stdin.take().unwrap();
    let mut lines = BufReader::new(serve.stdout.take().unwrap()).lines();
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": 1 } });
    writeln!(stdin, "{initialize}").unwrap();
    for case in cases() {
        let workspace = workspace();
        let start = |id: u8| {
            let params = json!({ "workspace": workspace.path(), "prompt": "hello" });
            json!({ "jsonrpc": "2.0", "id": id, "method": "turn/start", "params": params })
        };
        writeln!(stdin, "{}", start(1)).unwrap();
        let began = attack(workspace.path(), case);
        // It waits until the first one is over.
        writeln!(stdin, "{}", start(2)).unwrap();
        let [first, second] = [(), ()].map(|()| {
            let mut events = Vec::new();
            while !matches!(events.last(), Some(Event::MessageEnd { .. })) {
                let line = lines.next().unwrap().unwrap();
                let message: serde_json::Value = serde_json::from_str(&line).unwrap();
                if let Some(event) = message.pointer("/params/event") {
                    events.push(serde_json::from_value(event.clone()).unwrap());
                }
            }
            events
        });
        let took = began.elapsed();
        nothing_is_left(workspace.path(), case);
        check(case, &first);
        assert!(completed(&second), "{case:?}: {second:?}");
        assert!(took < SOON, "{case:?}: it took {took:?}");
    }
    drop(stdin);
    assert_eq!(serve.wait().unwrap().code(), Some(0));
}

fn completed(events: &[Event]) -> bool {
    matches!(events.last(), Some(Event::MessageEnd { stop_reason, .. }) if *stop_reason == StopReason::EndTurn)
}

#[tokio::test]
async fn in_an_embedder() {
    let config = Config {
        binary: Some(fake_codex().into()),
        limits: Limits {
            grace_seconds: GRACE.as_secs().try_into().unwrap(),
            ..Limits::default()
        },
        ..Config::default()
    };
    let provider = Provider::new(config).unwrap();
    let provider = provider.with_session_store(SessionFiles::default().without_state());
    for case in cases() {
        let workspace = workspace();
        let mut first = provider.turn(workspace.path(), Request::prompt("hello"));
        let folder = workspace.path().to_owned();
        let attacked = tokio::task::spawn_blocking(move || attack(&folder, case));
        let (first, began) = tokio::join!(events(&mut first), attacked);
        nothing_is_left(workspace.path(), case);
        check(case, &first);
        let mut second = provider.turn(workspace.path(), Request::prompt("again"));
        let second = events(&mut second).await;
        assert!(completed(&second), "{case:?}: {second:?}");
        let took = began.unwrap().elapsed();
        assert!(took < SOON, "{case:?}: it took {took:?}");
    }
}

/// Something may have got hold of a supervisor in one turn, and keep it in the next.
#[tokio::test]
async fn one_that_waits_for_a_turn_is_replaced() {
    for attack in Attack::possible() {
        let turn = |text: &str| Step::turn(text).to_vec();
        let second = [vec![Step::wait_for_file("go")], turn("second")].concat();
        let calls_of_codex = [turn("first"), second, turn("third")];
        let workspace = Workspace::scripted(fake_codex(), calls_of_codex).unwrap();
        let provider = Provider::new(Config {
            binary: Some(fake_codex().into()),
            ..Config::default()
        });
        let provider = provider
            .unwrap()
            .with_session_store(SessionFiles::default().without_state());
        let begin = || provider.turn(workspace.path(), Request::prompt("hello"));
        assert!(completed(&events(&mut begin()).await));
        let mut second = begin();
        let folder = workspace.path().to_owned();
        let supervisor = tokio::task::spawn_blocking(move || {
            wait_until("codex runs", || calls(&folder).unwrap().len() == 2);
            let supervisor = supervisor_of(calls(&folder).unwrap()[1].pid);
            std::fs::write(folder.join("go"), "").unwrap();
            supervisor.unwrap()
        });
        let (second, supervisor) = tokio::join!(events(&mut second), supervisor);
        let supervisor = supervisor.unwrap();
        assert!(completed(&second), "{attack:?}: {second:?}");
        assert!(is_running(supervisor), "{attack:?}: it does not wait");

        make(attack, supervisor);
        let began = Instant::now();
        let third = events(&mut begin()).await;
        let took = began.elapsed();
        assert!(took < SOON, "{attack:?}: it took {took:?}");
        let third_codex = calls(workspace.path()).unwrap().get(2).map(|call| call.pid);
        // A supervisor that is let go on for a moment may start codex just then, and is stopped before it says so.
        if attack == Attack::KeepStopped && !completed(&third) {
            assert!(warns(&third, "supervisor"), "{third:?}");
            let runs = third_codex.is_some_and(is_running);
            assert!(!runs, "it was given up, and codex runs");
        } else {
            assert!(completed(&third), "{attack:?}: {third:?}");
            assert!(third_codex.is_some(), "{attack:?}: {third:?}");
        }
        provider.close().await;
        wait_until("no supervisor waits", || !is_running(supervisor));
    }
}

async fn events(turn: &mut Turn) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = turn.next().await {
        events.push(event);
    }
    events
}

/// A codex that leaves `sleep 1006.MARK` behind, without the mark by which the host finds what is left, and kills its
/// supervisor.
fn traitor(workspace: &Workspace, mark: &str) {
    let script = format!(
        "#!/bin/sh\n\
         trap '' INT\n\
         echo '{{\"type\":\"thread.started\",\"thread_id\":\"01a20000-0000-7000-8000-000000000001\"}}'\n\
         echo '{{\"type\":\"turn.started\"}}'\n\
         prlimit --rttime=unlimited setsid --fork sleep 1006.{mark} </dev/null >/dev/null 2>&1\n\
         kill -9 $PPID\n\
         exec sleep 1007.{mark}\n"
    );
    let codex = workspace.outside("codex");
    std::fs::write(&codex, script).unwrap();
    std::fs::set_permissions(&codex, PermissionsExt::from_mode(0o755)).unwrap();
    let config = json!({ "binary": codex, "limits": { "grace_seconds": 1 } });
    workspace.configure(&config).unwrap();
}

#[test]
fn what_has_hidden_from_the_host_is_left_and_told() {
    if TestCgroup::may_be_had() {
        let test = "what_has_hidden_from_the_host_is_left_and_told";
        tool::lacks(test, "codex may get a cgroup here");
        return;
    }
    let (workspace, mark) = (workspace(), format!("{}91", std::process::id()));
    traitor(&workspace, &mark);
    let said = workspace.turn(None, "hello").unwrap();
    assert!(warns(&said.events, "may still run"), "{said:?}");
    assert!(processes_with(&format!("1007.{mark}")).is_empty());
    // If this is gone too, the text about what outlives a turn says too little.
    let left = processes_with(&format!("1006.{mark}"));
    assert_eq!(left.len(), 1, "{said:?}");
    // SAFETY: takes numbers only; the process is one that this test has had started.
    unsafe { libc::kill(left[0], libc::SIGKILL) };
}

#[test]
fn nothing_hides_from_the_host_in_a_cgroup() {
    let test = "nothing_hides_from_the_host_in_a_cgroup";
    let Some(cgroup) = TestCgroup::make() else {
        tool::lacks(test, "no cgroup can be made here");
        return;
    };
    let (workspace, mark) = (workspace(), format!("{}92", std::process::id()));
    traitor(&workspace, &mark);
    let said = say_in(&cgroup, &workspace);
    let left = processes_with(&mark);
    assert!(left.is_empty(), "{left:?} is left: {said:?}");
    assert!(warns(&said.events, "Everything"), "{said:?}");
    // A program that cannot be started is told from one that can.
    let config = json!({ "binary": workspace.outside("config.json") });
    std::fs::set_permissions(workspace.config(), PermissionsExt::from_mode(0o755)).unwrap();
    workspace.configure(&config).unwrap();
    let said = say_in(&cgroup, &workspace);
    assert!(
        said.failure()
            .is_some_and(|failure| failure.message.contains("not a program for this machine")),
        "{said:?}"
    );
    // Their own ones are gone, so that this one can go.
    cgroup.remove().unwrap();
}

fn say_in(cgroup: &TestCgroup, workspace: &Workspace) -> Said {
    let mut say = workspace.say(["--json", "hello"]);
    cgroup.takes(&mut say).unwrap();
    Said::by(&say.output().unwrap()).unwrap()
}
