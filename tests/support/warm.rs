//! Hosts whose codex stays for the next turn (`"transport": "app-server"`), and what is seen of that codex.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use plexum_openai_provider::{Config, Event, Metrics, Provider, Request, Transport, Turn};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::agent::Agent;
use crate::census::processes_below;
use crate::real_codex::RealCodex;
use crate::signal::DefaultSignals as _;
use crate::wait::processes_with;
use crate::workspace::{Said, cache_home, program};

/// Each codex that stays and works in this workspace, also one that waits.
#[must_use]
pub fn servers(workspace: &Path) -> Vec<i32> {
    let all = processes_with("\0app-server\0");
    let below = processes_below(workspace).into_iter();
    below
        .map(|(pid, _)| pid)
        .filter(|pid| all.contains(pid))
        .collect()
}

/// The only codex that stays in this workspace.
///
/// # Panics
/// When there is none, or more than one.
#[must_use]
pub fn server(workspace: &Path) -> i32 {
    let all = servers(workspace);
    let [server] = all.as_slice() else {
        panic!("not one codex: {all:?}");
    };
    *server
}

/// Sends a signal to a process that a test has had started.
///
/// # Panics
/// When it is not there.
pub fn signal(pid: i32, signal: i32) {
    // SAFETY: takes numbers only.
    let sent = unsafe { libc::kill(pid, signal) };
    assert_eq!(sent, 0, "{pid}: {}", std::io::Error::last_os_error());
}

/// A provider in this process.
pub struct WarmHost {
    /// Its codex.
    pub agent: Agent,
    runtime: Runtime,
    provider: Provider,
    turn: Option<Turn>,
}

impl WarmHost {
    /// One for a new agent, with what is changed in the configuration.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(codex: &RealCodex, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let agent = Agent::new(codex)?;
        agent.configure(&json!({ "transport": "app-server" }))?;
        Self::of(agent, change)
    }

    /// One for this agent.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of(agent: Agent, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let mut config = Config {
            binary: Some(agent.program_with_home()?),
            transport: Some(Transport::AppServer),
            ..Config::default()
        };
        change(&mut config);
        let sessions = agent
            .workspace
            .sessions()
            .with_codex_home(agent.home.path());
        Ok(WarmHost {
            agent,
            // Turns go on while a test looks at them.
            runtime: Runtime::new()?,
            provider: Provider::new(config)?.with_session_store(sessions),
            turn: None,
        })
    }

    /// Begins a turn.
    pub fn begin(&mut self, prompt: &str) {
        let _inside = self.runtime.enter();
        let workspace = self.agent.workspace.path();
        self.turn = Some(self.provider.turn(workspace, Request::prompt(prompt)));
    }

    /// The next event of the turn.
    pub fn event(&mut self) -> Option<Event> {
        let turn = self.turn.as_mut()?;
        self.runtime.block_on(turn.next())
    }

    /// Cancels the turn.
    pub fn cancel(&self) {
        if let Some(turn) = &self.turn {
            turn.cancel();
        }
    }

    /// Drops the turn.
    pub fn drop_turn(&mut self) {
        let _inside = self.runtime.enter();
        self.turn = None;
    }

    /// The rest of the turn.
    ///
    /// # Panics
    /// When it does not say how it ended.
    pub fn rest(&mut self) -> Said {
        let mut events = Vec::new();
        while let Some(event) = self.event() {
            events.push(event);
        }
        let is_over = matches!(events.last(), Some(Event::MessageEnd { .. }));
        assert!(is_over, "no end: {events:?}");
        Said {
            events,
            code: None,
            stderr: String::new(),
        }
    }

    /// A whole turn.
    pub fn say(&mut self, prompt: &str) -> Said {
        self.begin(prompt);
        self.rest()
    }

    /// What has happened so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.provider.metrics()
    }

    /// Ends what waits.
    pub fn close(&self) {
        self.runtime.block_on(self.provider.close());
    }

    /// The codex that waits, or works.
    #[must_use]
    pub fn server(&self) -> i32 {
        server(self.agent.workspace.path())
    }
}

/// A `serve`.
pub struct WarmServe {
    /// Its process.
    pub process: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl WarmServe {
    /// One with this agent's configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn of(agent: &Agent) -> Result<Self> {
        let workspace = &agent.workspace;
        let state_home = workspace.state_home();
        Self::start(
            program(),
            &workspace.config(),
            agent.home.path(),
            &state_home,
        )
    }

    /// One of this program with this configuration, whose codex has its home here.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, config: &Path, home: &Path, state_home: &Path) -> Result<Self> {
        let mut process = Command::new(program)
            .args(["serve", "--config"])
            .arg(config)
            .env("CODEX_HOME", home)
            .env("HOME", home)
            .env("XDG_STATE_HOME", state_home)
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .default_signals()
            .spawn()?;
        let mut serve = WarmServe {
            stdin: process.stdin.take(),
            lines: BufReader::new(process.stdout.take().context("a pipe")?).lines(),
            process,
        };
        serve.ask("initialize", &json!({ "protocolVersion": 1 }))?;
        Ok(serve)
    }

    /// Begins a turn.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn begin(&mut self, workspace: &Path, prompt: &str) -> Result<()> {
        self.ask(
            "turn/start",
            &json!({ "workspace": workspace, "prompt": prompt }),
        )
    }

    /// A whole turn.
    ///
    /// # Errors
    /// When the server does not take it, or ends before it is over.
    pub fn say(&mut self, workspace: &Path, prompt: &str) -> Result<Said> {
        self.begin(workspace, prompt)?;
        Ok(Said {
            events: self.events()?,
            code: None,
            stderr: String::new(),
        })
    }

    /// The events of the turn until its end.
    ///
    /// # Errors
    /// When the server ends before.
    pub fn events(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while !matches!(events.last(), Some(Event::MessageEnd { .. })) {
            let message = self.message()?;
            if let Some(event) = message.pointer("/params/event") {
                events.push(serde_json::from_value(event.clone())?);
            }
        }
        Ok(events)
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a request, and waits for the answer to it.
    fn ask(&mut self, method: &str, params: &Value) -> Result<()> {
        let request = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        let mut stdin = self.stdin.as_ref().context("it is open")?;
        writeln!(stdin, "{request}")?;
        while self.message()?.get("id") != Some(&json!(method)) {}
        Ok(())
    }

    fn message(&mut self) -> Result<Value> {
        let line = self.lines.next().context("serve goes on")??;
        Ok(serde_json::from_str(&line)?)
    }
}
