//! However a turn of a codex that stays ends, nothing that it has started is left, an MCP server of the conversation lives
//! as long as its codex, and the next turn completes.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use plexum_openai_provider::{Config, Event, FailureKind, StopReason};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::fake_codex::{ServerScript, Step, messages};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::wait::{is_running, processes_with, wait_until};
use plexum_openai_provider_tests::warm::{WarmHost, WarmServe, servers, signal};
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::json;

/// Short, so that what is killed after it costs little time.
const GRACE: Duration = Duration::from_secs(2);

/// How long after a kill the next turn may take on a busy machine, besides the grace period.
const SOON: Duration = Duration::from_secs(20);

/// What tells the processes of one turn, and the MCP server of its conversation, from all others.
struct Marks {
    number: String,
}

/// All kinds of process that a tool may leave: plain, compound, in a session of its own, in the background, with `nohup`,
/// one that traps signals, and a daemon. The first is in the foreground.
const KINDS: std::ops::RangeInclusive<u32> = 1001..=1007;

impl Marks {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Marks {
            number: format!("{}{next:04}", std::process::id()),
        }
    }

    /// The argument of the MCP server, which means nothing to it.
    fn mcp(&self) -> String {
        format!("mcp-{}", self.number)
    }

    /// A command that starts one process of each kind, and then does this.
    fn tools_and(&self, then: &str) -> String {
        let mark = &self.number;
        format!(
            "bash -c 'sleep 1002.{mark}; echo x' & setsid sleep 1003.{mark} & sleep 1004.{mark} & \
             nohup sleep 1005.{mark} >/dev/null 2>&1 & \
             bash -c 'trap \"\" TERM INT HUP; while :; do sleep 1006.{mark}; done' & \
             sh -c 'setsid sleep 1007.{mark} >/dev/null 2>&1 &'; {then}"
        )
    }

    /// The same, with the one in the foreground.
    fn tools(&self) -> String {
        self.tools_and(&format!("sleep 1001.{}", self.number))
    }

    fn are_asleep(&self, mut kinds: std::ops::RangeInclusive<u32>) -> bool {
        kinds.all(|kind| !processes_with(&format!("sleep\0{kind}.{}", self.number)).is_empty())
    }

    fn wait_until_asleep(&self) {
        wait_until("the tools run", || self.are_asleep(KINDS));
    }

    /// Everything of the turn.
    fn left(&self) -> Vec<i32> {
        let mcp = processes_with(&self.mcp());
        let mut left = processes_with(&self.number);
        left.retain(|pid| !mcp.contains(pid));
        left
    }
}

/// A conversation that is open in a codex, which has an MCP server.
struct Warm {
    host: WarmHost,
    marks: Marks,
    codex: RealCodex,
    server: i32,
    mcp: i32,
    thread_id: String,
}

impl Warm {
    fn new(codex: &RealCodex, change: impl FnOnce(&mut Config)) -> Self {
        let marks = Marks::new();
        let host = WarmHost::new(codex, |config| {
            config.limits.grace_seconds = GRACE.as_secs().try_into().unwrap();
            change(config);
        });
        let mut host = host.unwrap();
        add_mcp_server(&host.agent, &marks);
        let said = host.say("hello");
        assert_eq!(said.text(), "echo: hello", "{codex:?}: {said:?}");
        let thread_id = said.start().unwrap().0.to_owned();
        wait_until("the MCP server runs", || mcp_server(&marks).is_some());
        Warm {
            server: host.server(),
            mcp: mcp_server(&marks).unwrap(),
            codex: codex.clone(),
            host,
            marks,
            thread_id,
        }
    }

    /// Begins a turn, and waits until its tools run.
    fn begin_tools(&mut self) {
        self.host
            .begin(&format!("mock:shell={}", self.marks.tools()));
        self.marks.wait_until_asleep();
    }

    fn assert_nothing_left(&self) {
        let left = self.marks.left();
        assert!(left.is_empty(), "{:?} left {left:?}", self.codex);
    }

    /// The conversation goes on: in the same codex with the same MCP server, or in another one.
    fn goes_on(&mut self, stays: bool) {
        let said = self.host.say("go on");
        self.assert_nothing_left();
        let servers = self.host.metrics().servers;
        let case = format!("{:?}: {said:?}, {servers:?}", self.codex);
        assert_eq!(
            said.start(),
            Some((self.thread_id.as_str(), true)),
            "{case}"
        );
        assert_eq!(said.text(), "echo: go on", "{case}");
        assert_eq!(self.host.server() == self.server, stays, "{case}");
        assert_eq!(is_running(self.server), stays, "{case}");
        assert_eq!(is_running(self.mcp), stays, "{case}");
    }
}

fn add_mcp_server(agent: &Agent, marks: &Marks) {
    let program = env!("CARGO_BIN_EXE_mcp-server");
    let mcp = marks.mcp();
    let toml = format!("[mcp_servers.lab]\ncommand = {program:?}\nargs = [{mcp:?}]");
    agent.home.append_config(&toml).unwrap();
}

fn mcp_server(marks: &Marks) -> Option<i32> {
    processes_with(&format!("mcp-server\0{}", marks.mcp()))
        .first()
        .copied()
}

fn end(said: &Said) -> (StopReason, Option<FailureKind>) {
    match said.events.last() {
        Some(Event::MessageEnd {
            stop_reason,
            failure,
            ..
        }) => (*stop_reason, failure.as_ref().map(|failure| failure.kind)),
        other => panic!("{other:?}"),
    }
}

/// Has each codex run a turn with the tools, end it in this way, and go on.
fn each(
    change: impl Fn(&mut Config) + Sync,
    ends: impl Fn(&mut Warm) -> Said + Sync,
    expected: (StopReason, Option<FailureKind>),
    stays: bool,
) {
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex, &change);
        let said = ends(&mut warm);
        // Not only soon: the end of the turn says that they are gone.
        warm.assert_nothing_left();
        assert_eq!(end(&said), expected, "{codex:?}: {said:?}");
        warm.goes_on(stays);
    });
}

fn unchanged(_: &mut Config) {}

/// A turn whose tools are in the background when it ends on its own.
fn ends_by_itself(warm: &mut Warm, scenario: &str) -> Said {
    let then = "while [ ! -e go ]; do sleep 0.02; done; rm go";
    let prompt = format!("mock:{scenario}={}", warm.marks.tools_and(then));
    warm.host.begin(&prompt);
    let background = *KINDS.start() + 1..=*KINDS.end();
    wait_until("the tools run", || {
        warm.marks.are_asleep(background.clone())
    });
    std::fs::write(warm.host.agent.workspace.path().join("go"), "").unwrap();
    warm.host.rest()
}

#[test]
fn by_itself() {
    let ends = |warm: &mut Warm| ends_by_itself(warm, "shell");
    each(unchanged, ends, (StopReason::EndTurn, None), true);
}

#[test]
fn by_a_failure() {
    let ends = |warm: &mut Warm| ends_by_itself(warm, "failtool");
    let failed = (StopReason::Error, Some(FailureKind::InvalidRequest));
    each(unchanged, ends, failed, true);
}

#[test]
fn by_cancelling_while_tools_run() {
    let ends = |warm: &mut Warm| {
        warm.begin_tools();
        warm.host.cancel();
        warm.host.rest()
    };
    let aborted = (StopReason::Aborted, Some(FailureKind::Killed));
    each(unchanged, ends, aborted, true);
}

#[test]
fn by_cancelling_when_nobody_reads() {
    let ends = |warm: &mut Warm| {
        // The output of the first command is more than may wait for the caller.
        let loud = "head -c 2000000 /dev/zero | tr '\\0' x";
        let prompt = format!("mock:shell2={loud}||{}", warm.marks.tools());
        warm.host.begin(&prompt);
        warm.marks.wait_until_asleep();
        warm.host.cancel();
        wait_until("nothing is left", || warm.marks.left().is_empty());
        warm.host.rest()
    };
    let aborted = (StopReason::Aborted, Some(FailureKind::Killed));
    each(unchanged, ends, aborted, true);
}

#[test]
fn by_the_clock_of_a_tool() {
    let change = |config: &mut Config| config.limits.tool_idle_seconds = 5;
    let ends = |warm: &mut Warm| {
        warm.begin_tools();
        warm.host.rest()
    };
    let idle = (StopReason::Error, Some(FailureKind::IdleTimeout));
    each(change, ends, idle, true);
}

#[test]
fn by_the_clock_of_the_turn() {
    let change = |config: &mut Config| config.limits.turn_seconds = 6;
    let ends = |warm: &mut Warm| {
        warm.begin_tools();
        warm.host.rest()
    };
    let over = (StopReason::Error, Some(FailureKind::TurnTimeout));
    each(change, ends, over, true);
}

#[test]
fn by_the_clock_of_the_start() {
    let change = |config: &mut Config| config.limits.start_seconds = 5;
    let ends = |warm: &mut Warm| {
        // It waits, and does not answer any more.
        signal(warm.server, libc::SIGSTOP);
        warm.begin_and_end()
    };
    let late = (StopReason::Error, Some(FailureKind::StartTimeout));
    each(change, ends, late, false);
}

#[test]
fn by_a_component_that_is_stopped() {
    // The output is more than it may hand out.
    let change = |config: &mut Config| config.guest.event_mib = 1;
    let ends = |warm: &mut Warm| {
        let told = "while [ ! -e go ]; do sleep 0.02; done; \
                    for i in $(seq 100); do head -c 20000 /dev/zero | tr '\\0' x; echo; done";
        let prompt = format!("mock:shell2={told}||{}", warm.marks.tools());
        warm.host.begin(&prompt);
        warm.marks.wait_until_asleep();
        std::fs::write(warm.host.agent.workspace.path().join("go"), "").unwrap();
        warm.host.rest()
    };
    let stopped = (StopReason::Error, Some(FailureKind::Internal));
    each(change, ends, stopped, false);
}

#[test]
fn by_the_death_of_codex() {
    let kinds = [
        (libc::SIGKILL, FailureKind::Killed),
        (libc::SIGABRT, FailureKind::Protocol),
    ];
    side_by_side(kinds, |(killed_by, kind)| {
        let ends = |warm: &mut Warm| {
            warm.begin_tools();
            signal(warm.server, killed_by);
            warm.host.rest()
        };
        each(unchanged, ends, (StopReason::Error, Some(kind)), false);
    });
}

#[test]
fn by_dropping() {
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex, unchanged);
        warm.begin_tools();
        warm.host.drop_turn();
        // The next turn waits until that one is gone.
        warm.goes_on(false);
    });
}

/// Cancelled and dropped at all moments of its beginning, of which `turn/started` is one.
#[test]
fn before_it_has_begun() {
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex, unchanged);
        for millis in [0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96] {
            warm.host.begin("mock:hang");
            std::thread::sleep(Duration::from_millis(millis));
            warm.host.cancel();
            let said = warm.host.rest();
            let aborted = (StopReason::Aborted, Some(FailureKind::Killed));
            assert_eq!(end(&said), aborted, "{codex:?}, {millis} ms: {said:?}");
            warm.goes_on(true);
        }
        for millis in [0, 4, 16, 64] {
            warm.host.begin("mock:hang");
            std::thread::sleep(Duration::from_millis(millis));
            warm.host.drop_turn();
            let began = Instant::now();
            let said = warm.host.say("go on");
            assert_eq!(
                said.text(),
                "echo: go on",
                "{codex:?}, {millis} ms: {said:?}"
            );
            assert!(began.elapsed() < GRACE + SOON);
        }
    });
}

/// Codex has taken the prompt, and does not say yet that the turn has begun: it would refuse an interrupt by its name.
#[test]
fn between_its_prompt_and_its_beginning() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::new(codex).unwrap();
    let config = json!({ "binary": codex, "transport": "app-server" });
    workspace.configure(&config).unwrap();
    let taken = [Step::turn_accepted(), Step::touch("ready")];
    let script = ServerScript::default().answer("turn/start", taken);
    script.write_to(workspace.path()).unwrap();
    let say = workspace.say(["--json", "hello"]).spawn().unwrap();
    let ready = workspace.path().join("ready");
    wait_until("codex has the prompt", || ready.exists());
    signal(say.id().cast_signed(), libc::SIGINT);
    let ended = say.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    let mut told = messages(workspace.path()).unwrap();
    told.retain(|message| message["method"] == "turn/interrupt");
    let turns: Vec<_> = told
        .iter()
        .map(|message| &message["params"]["turnId"])
        .collect();
    assert_eq!(turns, [""], "{told:?}");
}

/// The same when codex is only being started.
#[test]
fn before_codex_has_opened_the_conversation() {
    let cases = real_codex!().into_iter();
    let cases = cases.flat_map(|codex| [0, 10, 40, 80, 160].map(|millis| (codex.clone(), millis)));
    side_by_side(cases, |(codex, millis)| {
        let change = |config: &mut Config| config.limits.grace_seconds = 30;
        let mut host = WarmHost::new(&codex, change).unwrap();
        host.begin("mock:hang");
        std::thread::sleep(Duration::from_millis(millis));
        let began = Instant::now();
        host.drop_turn();
        let workspace = host.agent.workspace.path().to_owned();
        wait_until("codex has ended", || servers(&workspace).is_empty());
        assert!(began.elapsed() < SOON, "{codex:?}, {millis} ms");
        let said = host.say("hello");
        assert_eq!(
            said.text(),
            "echo: hello",
            "{codex:?}, {millis} ms: {said:?}"
        );
    });
}

/// A `serve` with one conversation in which tools run, and one that waits.
fn serve(codex: &RealCodex) -> (Agent, tempfile::TempDir, WarmServe, Marks) {
    let agent = Agent::new(codex).unwrap();
    let limits = json!({ "grace_seconds": GRACE.as_secs() });
    let config = json!({ "transport": "app-server", "limits": limits });
    agent.configure(&config).unwrap();
    let marks = Marks::new();
    add_mcp_server(&agent, &marks);
    let other = tempfile::tempdir().unwrap();
    let mut serve = WarmServe::of(&agent).unwrap();
    for workspace in [agent.workspace.path(), other.path()] {
        serve.begin(workspace, "hello").unwrap();
        serve.events().unwrap();
    }
    let prompt = format!("mock:shell={}", marks.tools());
    serve.begin(agent.workspace.path(), &prompt).unwrap();
    marks.wait_until_asleep();
    assert_eq!(servers(agent.workspace.path()).len(), 1);
    assert_eq!(servers(other.path()).len(), 1);
    (agent, other, serve, marks)
}

#[test]
fn by_the_end_of_the_host() {
    let endings = [Some(libc::SIGTERM), Some(libc::SIGINT), None];
    let cases = real_codex!().into_iter();
    let cases = cases.flat_map(|codex| endings.map(|ending| (codex.clone(), ending)));
    side_by_side(cases, |(codex, ending)| {
        let (agent, other, mut serve, marks) = serve(&codex);
        let began = Instant::now();
        match ending {
            Some(number) => signal(serve.process.id().cast_signed(), number),
            None => serve.close_stdin(),
        }
        let ended = serve.process.wait().unwrap();
        assert!(ended.success(), "{codex:?}, {ending:?}: {ended}");
        assert!(began.elapsed() < GRACE + SOON, "{codex:?}, {ending:?}");
        // When it has ended, not only soon after.
        let left = processes_with(&marks.number);
        assert!(left.is_empty(), "{codex:?}, {ending:?} left {left:?}");
        assert!(servers(agent.workspace.path()).is_empty());
        assert!(servers(other.path()).is_empty());
        let said = agent.turn("go on").unwrap();
        assert_eq!(
            said.text(),
            "echo: go on",
            "{codex:?}, {ending:?}: {said:?}"
        );
    });
}

#[test]
fn by_sigkill_of_the_host() {
    side_by_side(real_codex!(), |codex| {
        let (agent, other, mut serve, marks) = serve(&codex);
        serve.process.kill().unwrap();
        serve.process.wait().unwrap();
        // The next turn waits until that one is gone.
        let said = agent.turn("go on").unwrap();
        assert_eq!(said.text(), "echo: go on", "{codex:?}: {said:?}");
        let left = marks.left();
        assert!(left.is_empty(), "{codex:?} left {left:?}");
        wait_until("what waited has ended", || servers(other.path()).is_empty());
        wait_until("nothing is left", || {
            processes_with(&marks.number).is_empty()
        });
    });
}

/// A codex that takes its time to end keeps the next turn waiting, although nobody is left who could tell.
#[test]
fn by_sigkill_of_the_host_when_codex_does_not_end_at_once() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::new(codex).unwrap();
    let limits = json!({ "grace_seconds": GRACE.as_secs() });
    let config = json!({ "binary": codex, "transport": "app-server", "limits": limits });
    workspace.configure(&config).unwrap();
    let deaf = [
        Step::IgnoreSignals {
            signals: vec![libc::SIGINT],
        },
        Step::turn_accepted(),
        Step::touch("ready"),
        Step::Forever,
    ];
    let script = ServerScript::default().answer("turn/start", deaf);
    script.write_to(workspace.path()).unwrap();
    let mut say = workspace.say(["--json", "hello"]).spawn().unwrap();
    let ready = workspace.path().join("ready");
    wait_until("codex is at work", || ready.exists());
    let first = workspace.calls().unwrap().first().unwrap().pid;
    say.kill().unwrap();
    say.wait().unwrap();
    assert!(is_running(first));
    ServerScript::default().write_to(workspace.path()).unwrap();
    let said = workspace.turn(None, "go on").unwrap();
    assert_eq!(said.text(), "echo: go on", "{said:?}");
    assert!(!is_running(first));
}

impl Warm {
    /// A turn that starts its tools, if codex does anything.
    fn begin_and_end(&mut self) -> Said {
        self.host
            .begin(&format!("mock:shell={}", self.marks.tools()));
        self.host.rest()
    }
}
