//! However a turn of the real codex is stopped, nothing that it started is left, and the thread goes on.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};

use plexum_openai_provider::{
    Config, Event, FailureKind, Provider, Request, SessionFiles, StopReason, Turn,
};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::wait::{processes_with, wait_until};
use serde_json::json;

/// The native programs and the npm wrappers before them.
fn all(installed: Vec<RealCodex>) -> Vec<RealCodex> {
    let wrappers: Vec<_> = installed.iter().map(RealCodex::wrapper).collect();
    [installed, wrappers].concat()
}

/// Three sleepers that a tool starts: one in the foreground of a shell, one in the background, and one in a session of
/// its own.
struct Sleepers {
    mark: String,
}

impl Sleepers {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Sleepers {
            mark: format!("{}{number:04}", std::process::id()),
        }
    }

    fn prompt(&self) -> String {
        let mark = &self.mark;
        format!(
            "mock:shell=setsid sleep 1001.{mark} & sleep 1002.{mark} & bash -c 'sleep 1003.{mark}; echo x'"
        )
    }

    fn wait_until_asleep(&self) {
        let asleep = |number| !processes_with(&format!("sleep\0{number}.{}", self.mark)).is_empty();
        wait_until("the tools run", || (1001..=1003).all(asleep));
    }

    /// The prompt names them, so that this sees codex, its wrapper and its supervisor as well.
    fn assert_gone(&self, codex: &RealCodex) {
        let left = processes_with(&self.mark);
        assert!(left.is_empty(), "{codex:?} left {left:?}");
    }

    fn wait_until_gone(&self) {
        wait_until("nothing is left", || processes_with(&self.mark).is_empty());
    }
}

/// The thread that was stopped goes on.
fn goes_on(agent: &Agent) {
    let thread_id = agent.workspace.session().unwrap().unwrap();
    let said = agent.turn("go on").unwrap();
    assert_eq!(said.start(), Some((thread_id.as_str(), true)), "{said:?}");
    assert_eq!(said.text(), "echo: go on");
}

/// A `say` whose tools run.
fn say(agent: &Agent, sleepers: &Sleepers) -> Child {
    let say = agent.say(["--", &sleepers.prompt()]).spawn().unwrap();
    sleepers.wait_until_asleep();
    say
}

fn signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: takes numbers only; the process is a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// The kind of the failure that a `say` printed last.
fn failure_of(say: &mut Child) -> String {
    let lines = BufReader::new(say.stdout.take().unwrap()).lines();
    let end: Event = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    match end {
        Event::MessageEnd {
            failure: Some(failure),
            stop_reason,
            ..
        } => format!("{stop_reason:?} {:?}", failure.kind),
        other => panic!("{other:?}"),
    }
}

#[test]
fn by_ctrl_c_and_sigterm() {
    let signals = [(libc::SIGINT, 130), (libc::SIGTERM, 143)];
    let cases = all(real_codex!()).into_iter();
    let cases = cases.flat_map(|codex| signals.map(|signal| (codex.clone(), signal)));
    side_by_side(cases, |(codex, (number, code))| {
        let (agent, sleepers) = (Agent::new(&codex).unwrap(), Sleepers::new());
        let mut say = say(&agent, &sleepers);
        signal(&say, number);
        assert_eq!(failure_of(&mut say), "Aborted Killed", "{codex:?}");
        assert_eq!(say.wait().unwrap().code(), Some(code), "{codex:?}");
        // Not only soon: the end of the turn says that they are gone.
        sleepers.assert_gone(&codex);
        goes_on(&agent);
    });
}

#[test]
fn by_sigkill_of_the_host() {
    side_by_side(all(real_codex!()), |codex| {
        let (agent, sleepers) = (Agent::new(&codex).unwrap(), Sleepers::new());
        let mut say = say(&agent, &sleepers);
        say.kill().unwrap();
        say.wait().unwrap();
        // The next turn waits until that one is gone.
        goes_on(&agent);
        sleepers.assert_gone(&codex);
    });
}

#[test]
fn by_a_clock() {
    side_by_side(all(real_codex!()), |codex| {
        let (agent, sleepers) = (Agent::new(&codex).unwrap(), Sleepers::new());
        let limits = json!({ "limits": { "tool_idle_seconds": 8 } });
        agent.configure(&limits).unwrap();
        let mut say = say(&agent, &sleepers);
        assert_eq!(failure_of(&mut say), "Error IdleTimeout", "{codex:?}");
        say.wait().unwrap();
        sleepers.assert_gone(&codex);
        goes_on(&agent);
    });
}

#[test]
fn by_ctrl_c_when_nobody_reads_any_more() {
    side_by_side(all(real_codex!()), |codex| {
        let (agent, sleepers) = (Agent::new(&codex).unwrap(), Sleepers::new());
        let mut say = say(&agent, &sleepers);
        drop(say.stdout.take());
        signal(&say, libc::SIGINT);
        say.wait().unwrap();
        sleepers.assert_gone(&codex);
        goes_on(&agent);
    });
}

/// A provider in this process that starts this codex with the agent's home: it has this process's environment.
fn provider(agent: &Agent) -> Provider {
    let config = Config {
        binary: Some(agent.program_with_home().unwrap()),
        ..Config::default()
    };
    Provider::new(config)
        .unwrap()
        .with_session_store(SessionFiles::default().without_state())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn by_cancelling_and_by_dropping() {
    let cases = all(real_codex!()).into_iter();
    let cases = cases.flat_map(|codex| [false, true].map(|dropped| (codex.clone(), dropped)));
    side_by_side(cases, |(codex, dropped)| {
        let (agent, sleepers) = (Agent::new(&codex).unwrap(), Sleepers::new());
        let provider = provider(&agent);
        runtime().block_on(async {
            let request = Request::prompt(sleepers.prompt());
            let mut turn = provider.turn(agent.workspace.path(), request);
            until_a_tool_runs(&mut turn).await;
            sleepers.wait_until_asleep();
            if dropped {
                drop(turn);
            } else {
                turn.cancel();
                assert_eq!(
                    end(&mut turn).await,
                    (StopReason::Aborted, FailureKind::Killed)
                );
                sleepers.assert_gone(&codex);
            }
            // A runtime goes on meanwhile: the turn's task has its workspace to give back.
            let after = move || {
                sleepers.wait_until_gone();
                goes_on(&agent);
            };
            tokio::task::spawn_blocking(after).await.unwrap();
        });
    });
}

#[test]
fn by_cancelling_when_nobody_reads() {
    side_by_side(real_codex!(), |codex| {
        let (agent, sleepers) = (Agent::new(&codex).unwrap(), Sleepers::new());
        let provider = provider(&agent);
        runtime().block_on(async {
            // The output of the first command is more than may wait for the caller.
            let prompt = sleepers.prompt();
            let tools = prompt.strip_prefix("mock:shell=").unwrap();
            let prompt = format!("mock:shell2=head -c 2000000 /dev/zero | tr '\\0' x||{tools}");
            let turn = provider.turn(agent.workspace.path(), Request::prompt(prompt));
            let asleep = move || {
                sleepers.wait_until_asleep();
                sleepers
            };
            let sleepers = tokio::task::spawn_blocking(asleep).await.unwrap();
            turn.cancel();
            let gone = move || sleepers.wait_until_gone();
            tokio::task::spawn_blocking(gone).await.unwrap();
            let mut turn = turn;
            assert_eq!(
                end(&mut turn).await,
                (StopReason::Aborted, FailureKind::Killed)
            );
        });
        goes_on(&agent);
    });
}

async fn until_a_tool_runs(turn: &mut Turn) {
    loop {
        if let Event::ToolStart { .. } = turn.next().await.unwrap() {
            return;
        }
    }
}

async fn end(turn: &mut Turn) -> (StopReason, FailureKind) {
    loop {
        if let Event::MessageEnd {
            stop_reason,
            failure,
            ..
        } = turn.next().await.unwrap()
        {
            return (stop_reason, failure.unwrap().kind);
        }
    }
}
