//! A tool of the real codex turns against the supervisor of its turn: in `say`, in `serve`, and in a program that embeds
//! the library. The suite `guarded` has what the real codex cannot be made to do.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use plexum_openai_provider::{
    Config, Event, Limits, Provider, Request, SessionFiles, StopReason, Turn,
};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::attack::{Attack, warns};
use plexum_openai_provider_tests::cgroup::TestCgroup;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::wait::{processes_with, wait_until};
use plexum_openai_provider_tests::workspace::{Said, cache_home, program};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Codex itself ends at once when it is stopped, so that a long one costs no time.
const GRACE: Duration = Duration::from_secs(8);

/// How long after the attack the next turn may end: two seconds more than the grace period.
const SOON: Duration = Duration::from_secs(10);

/// A way of running turns in an agent's workspace.
trait Host {
    /// Whose turns they are.
    fn agent(&self) -> &Agent;

    fn begin(&mut self, prompt: &str);

    /// Stops the turn that runs.
    fn stop(&mut self);

    /// The events of a turn, once it is over.
    fn events(&mut self) -> Vec<Event>;
}

/// Whether the tool that is left behind takes off what the host knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Marked,
    Hidden,
}

/// What a tool does, and what it leaves behind.
fn tool(attack: Attack, left: Left, mark: &str) -> String {
    let hides = match left {
        Left::Marked => "",
        Left::Hidden => "prlimit --rttime=unlimited ",
    };
    let tool = env!("CARGO_BIN_EXE_attack-supervisor");
    format!("mock:shell={hides}{tool} {} {mark}", attack.name())
}

/// Has a tool make the attack, waits until the turn is over, and checks that the next one runs. Returns the events of the
/// turn.
fn attacked(host: &mut impl Host, attack: Attack, left: Left, mark: &str) -> Vec<Event> {
    host.begin(&tool(attack, left, mark));
    let told = host.agent().workspace.path().join(format!("left.{mark}"));
    wait_until("the tool has left something", || told.exists());
    let began = Instant::now();
    if attack.is_noticed() != Some(true) {
        // The turn goes on.
        host.stop();
    }
    let events = host.events();
    assert_ne!(end(&events), StopReason::EndTurn, "{attack:?}: {events:?}");
    host.begin("go on");
    let next = host.events();
    let took = began.elapsed();
    assert_eq!(end(&next), StopReason::EndTurn, "{attack:?}: {next:?}");
    assert!(took < SOON, "{attack:?}: it took {took:?}");
    events
}

fn end(events: &[Event]) -> StopReason {
    let Some(Event::MessageEnd { stop_reason, .. }) = events.last() else {
        panic!("no end: {events:?}");
    };
    *stop_reason
}

/// A conversation that goes on through all attacks, one after the other.
fn attacks(test: &str, codex: &RealCodex, mut host: impl Host) {
    for (number, attack) in Attack::possible().enumerate() {
        let mark = format!("{}{test}{number}", std::process::id());
        let events = attacked(&mut host, attack, Left::Marked, &mark);
        let case = format!("{} {attack:?}: {events:?}", codex.version);
        let left = processes_with(&mark);
        assert!(left.is_empty(), "{case} left {left:?}");
        if let Some(expected) = attack.is_noticed() {
            assert_eq!(warns(&events, "supervisor"), expected, "{case}");
        }
    }
}

fn agent(codex: &RealCodex) -> Agent {
    let agent = Agent::new(codex).unwrap();
    let limits = json!({ "grace_seconds": GRACE.as_secs() });
    agent.configure(&json!({ "limits": limits })).unwrap();
    agent
}

struct Say<'a> {
    agent: Agent,
    cgroup: Option<&'a TestCgroup>,
    running: Option<Child>,
}

impl<'a> Say<'a> {
    fn of(codex: &RealCodex, cgroup: Option<&'a TestCgroup>) -> Self {
        Say {
            agent: agent(codex),
            cgroup,
            running: None,
        }
    }
}

impl Host for Say<'_> {
    fn agent(&self) -> &Agent {
        &self.agent
    }

    fn begin(&mut self, prompt: &str) {
        let mut say = self.agent.say(["--", prompt]);
        if let Some(cgroup) = self.cgroup {
            cgroup.takes(&mut say).unwrap();
        }
        self.running = Some(say.spawn().unwrap());
    }

    fn stop(&mut self) {
        let say = self.running.as_ref().unwrap();
        // SAFETY: takes numbers only; the process is a child that has not been waited for.
        let sent = unsafe { libc::kill(say.id().cast_signed(), libc::SIGINT) };
        assert_eq!(sent, 0);
    }

    fn events(&mut self) -> Vec<Event> {
        let say = self.running.take().unwrap();
        Said::by(&say.wait_with_output().unwrap()).unwrap().events
    }
}

struct Serve {
    agent: Agent,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    process: Child,
    turn: Option<String>,
}

impl Serve {
    fn of(codex: &RealCodex, cgroup: Option<&TestCgroup>) -> Self {
        let agent = agent(codex);
        let mut serve = Command::new(program());
        serve
            .args(["serve", "--config"])
            .arg(agent.workspace.config())
            .env("CODEX_HOME", agent.home.path())
            .env("HOME", agent.home.path())
            .env("XDG_STATE_HOME", agent.workspace.state_home())
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .default_signals();
        if let Some(cgroup) = cgroup {
            cgroup.takes(&mut serve).unwrap();
        }
        let mut process = serve.spawn().unwrap();
        let mut serve = Serve {
            agent,
            stdin: process.stdin.take(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
            turn: None,
        };
        serve.ask("initialize", &json!({ "protocolVersion": 1 }));
        serve
    }

    /// Sends a request, and returns the answer to it.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        writeln!(self.stdin.as_ref().unwrap(), "{request}").unwrap();
        loop {
            let message = self.message();
            if message["id"] == method {
                return message["result"].clone();
            }
        }
    }

    fn message(&mut self) -> Value {
        let line = self.lines.next().expect("serve goes on").unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Host for Serve {
    fn agent(&self) -> &Agent {
        &self.agent
    }

    fn begin(&mut self, prompt: &str) {
        let params = json!({ "workspace": self.agent.workspace.path(), "prompt": prompt });
        let started = self.ask("turn/start", &params);
        self.turn = Some(started["turnId"].as_str().unwrap().to_owned());
    }

    fn stop(&mut self) {
        let params = json!({ "turnId": self.turn });
        let request = json!({ "jsonrpc": "2.0", "method": "turn/cancel", "params": params });
        writeln!(self.stdin.as_ref().unwrap(), "{request}").unwrap();
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while !matches!(events.last(), Some(Event::MessageEnd { .. })) {
            let message = self.message();
            if let Some(event) = message.pointer("/params/event") {
                events.push(serde_json::from_value(event.clone()).unwrap());
            }
        }
        events
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.stdin.take();
        let ended = self.process.wait().unwrap();
        // A test that has failed is not over when this is dropped.
        assert!(std::thread::panicking() || ended.success(), "{ended}");
    }
}

/// A provider in this process.
struct Embedder {
    agent: Agent,
    runtime: Runtime,
    provider: Provider,
    turn: Option<Turn>,
}

impl Embedder {
    fn of(codex: &RealCodex) -> Self {
        let agent = agent(codex);
        let config = Config {
            binary: Some(agent.program_with_home().unwrap()),
            limits: Limits {
                grace_seconds: GRACE.as_secs().try_into().unwrap(),
                ..Limits::default()
            },
            ..Config::default()
        };
        let state = agent.workspace.sessions();
        let sessions: SessionFiles = state.with_codex_home(agent.home.path());
        Embedder {
            agent,
            // Turns go on while a test looks at them.
            runtime: Runtime::new().unwrap(),
            provider: Provider::new(config).unwrap().with_session_store(sessions),
            turn: None,
        }
    }
}

impl Host for Embedder {
    fn agent(&self) -> &Agent {
        &self.agent
    }

    fn begin(&mut self, prompt: &str) {
        let _inside = self.runtime.enter();
        let workspace: &Path = self.agent.workspace.path();
        self.turn = Some(self.provider.turn(workspace, Request::prompt(prompt)));
    }

    fn stop(&mut self) {
        self.turn.as_mut().unwrap().cancel();
    }

    fn events(&mut self) -> Vec<Event> {
        let mut turn = self.turn.take().unwrap();
        self.runtime.block_on(async {
            let mut events = Vec::new();
            while let Some(event) = turn.next().await {
                events.push(event);
            }
            events
        })
    }
}

#[test]
fn in_say() {
    for codex in real_codex!() {
        attacks("1", &codex, Say::of(&codex, None));
    }
}

#[test]
fn in_serve() {
    for codex in real_codex!() {
        attacks("2", &codex, Serve::of(&codex, None));
    }
}

#[test]
fn in_an_embedder() {
    for codex in real_codex!() {
        attacks("3", &codex, Embedder::of(&codex));
    }
}

#[test]
fn what_hides_and_kills_the_supervisor_is_told() {
    if TestCgroup::may_be_had() {
        let test = "what_hides_and_kills_the_supervisor_is_told";
        tool::lacks(test, "codex may get a cgroup here");
        return;
    }
    for codex in real_codex!() {
        let mark = format!("{}4", std::process::id());
        let mut say = Say::of(&codex, None);
        let events = attacked(&mut say, Attack::Kill, Left::Hidden, &mark);
        assert!(
            warns(&events, "may still run"),
            "{}: {events:?}",
            codex.version
        );
        for left in processes_with(&mark) {
            // SAFETY: takes numbers only; the process is one that this test has had started.
            unsafe { libc::kill(left, libc::SIGKILL) };
        }
    }
}

#[test]
fn nothing_hides_in_a_cgroup() {
    let Some(cgroup) = TestCgroup::make() else {
        tool::lacks("nothing_hides_in_a_cgroup", "no cgroup can be made here");
        return;
    };
    for codex in real_codex!() {
        hides(&codex, Say::of(&codex, Some(&cgroup)), "5");
        hides(&codex, Serve::of(&codex, Some(&cgroup)), "6");
        // The library looks once for the cgroup that its process is in. (Other tests of this process may run meanwhile;
        // they do not mind.)
        cgroup.enter().unwrap();
        hides(&codex, Embedder::of(&codex), "7");
        cgroup.leave().unwrap();
    }
    // Of the tests meanwhile, something may be in it for a moment.
    wait_until("nothing is in the cgroup", || cgroup.remove().is_ok());
}

fn hides(codex: &RealCodex, mut host: impl Host, test: &str) {
    let mark = format!("{}{test}", std::process::id());
    let events = attacked(&mut host, Attack::Kill, Left::Hidden, &mark);
    let left = processes_with(&mark);
    let case = format!("{} {test}: {events:?}", codex.version);
    assert!(left.is_empty(), "{case} left {left:?}");
    assert!(warns(&events, "Everything"), "{case}");
}
