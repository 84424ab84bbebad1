//! Hosts of a fleet as processes: the program with `serve`, each with a codex home, a workspace and a state of its own.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use plexum_openai_provider::Event;
use serde_json::{Value, json};

use crate::census::descendants;
use crate::codex_home::CodexHome;
use crate::mock_model::MockModel;
use crate::real_codex::RealCodex;
use crate::signal::DefaultSignals as _;
use crate::warm::signal;
use crate::workspace::{Said, Workspace, cache_home, program};

/// How long a lease of these hosts lasts.
pub const LEASE: Duration = Duration::from_secs(LEASE_SECONDS);

const LEASE_SECONDS: u64 = 5;

/// How long codex may take to end.
pub const GRACE: Duration = Duration::from_secs(1);

/// How long a test waits for an event: longer than any clock of these hosts.
const NEVER: Duration = Duration::from_secs(120);

/// A host.
pub struct FleetProcess {
    /// Its name.
    pub name: String,
    /// Codex's home there.
    pub home: CodexHome,
    /// The workspace there.
    pub workspace: Workspace,
    running: Mutex<Option<Running>>,
}

/// Its process.
struct Running {
    process: Child,
    stdin: Option<ChildStdin>,
    turns: Arc<Mutex<Turns>>,
    next_id: u64,
}

/// Where the events of each turn go.
#[derive(Default)]
struct Turns {
    /// Those that the server has not named yet, by the id of the request.
    asked: HashMap<u64, Sender<(Instant, Message)>>,
    named: HashMap<String, Sender<(Instant, Message)>>,
}

/// What the server says about a turn.
enum Message {
    Event(Box<Event>),
    Refused(String),
}

/// A turn of such a host.
pub struct ProcessTurn {
    messages: Receiver<(Instant, Message)>,
    /// What it has said so far.
    pub events: Vec<Event>,
    /// When its end was said.
    pub ended: Option<Instant>,
}

/// What was heard of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event,
    /// Its end.
    End,
    /// Nothing, for so long.
    Nothing,
    /// Its host has ended.
    HostIsGone,
}

impl FleetProcess {
    /// The host of this name, which reaches its PostgreSQL at this URL, with these keys of the configuration besides.
    ///
    /// # Errors
    /// When it cannot be made or started.
    pub fn new(
        name: &str,
        codex: &RealCodex,
        model: &MockModel,
        url: &str,
        keys: &Value,
    ) -> Result<Self> {
        let host = FleetProcess {
            name: name.to_owned(),
            home: CodexHome::new(&model.base_url())?,
            workspace: Workspace::new(&codex.path)?,
            running: Mutex::default(),
        };
        let mut config = json!({
            "binary": codex.path,
            "limits": { "grace_seconds": GRACE.as_secs() },
            "sessions": { "postgres": { "url": url, "host": name, "lease_seconds": LEASE.as_secs() } },
        });
        merge(&mut config, keys);
        host.workspace.configure(&config)?;
        host.start()?;
        Ok(host)
    }

    /// Starts its process, after it has ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .context("a log can be written")?;
        let mut process = self
            .command("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let turns = Arc::new(Mutex::new(Turns::default()));
        let mut stdin = process.stdin.take().context("a pipe")?;
        let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": 1 } });
        writeln!(stdin, "{initialize}")?;
        let mut lines = BufReader::new(process.stdout.take().context("a pipe")?);
        let mut answer = String::new();
        lines.read_line(&mut answer)?;
        if !answer.contains("\"result\"") {
            bail!("{} does not begin: {answer:?}", self.name);
        }
        let hears = Arc::clone(&turns);
        std::thread::Builder::new().spawn(move || hear(lines, &hears))?;
        *self.running() = Some(Running {
            process,
            stdin: Some(stdin),
            turns,
            next_id: 1,
        });
        Ok(())
    }

    /// A command of the program as this host has it, to be completed.
    #[must_use]
    pub fn command(&self, command: &str) -> Command {
        let mut program = Command::new(program());
        program
            .arg(command)
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.workspace.state_home())
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
            .current_dir(self.workspace.path())
            .default_signals();
        program.arg("--config").arg(self.workspace.config());
        program
    }

    /// What a command of the program does on this host.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Output {
        let (command, args) = words.split_first().expect("a command");
        let output = self.command(command).args(args).output();
        output.expect("the program can be run")
    }

    /// What it has written to its standard error.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.workspace.outside("log")
    }

    /// Begins a turn of this conversation, in the workspace of the host.
    ///
    /// # Errors
    /// When its process has ended.
    pub fn begin(&self, session: &str, prompt: &str) -> Result<ProcessTurn> {
        self.begin_in(self.workspace.path(), session, prompt)
    }

    /// The same in another workspace.
    ///
    /// # Errors
    /// When its process has ended.
    pub fn begin_in(&self, workspace: &Path, session: &str, prompt: &str) -> Result<ProcessTurn> {
        let mut running = self.running();
        let running = running.as_mut().context("its process has ended")?;
        let id = running.next_id;
        running.next_id += 1;
        let (sends, messages) = channel();
        // Before it is asked: it may answer at once.
        lock(&running.turns).asked.insert(id, sends);
        let request = json!({
            "jsonrpc": "2.0", "id": id, "method": "turn/start",
            "params": { "workspace": workspace, "session": session, "prompt": prompt },
        });
        let stdin = running.stdin.as_mut().context("it was closed")?;
        writeln!(stdin, "{request}").context("the host has ended")?;
        Ok(ProcessTurn {
            messages,
            events: Vec::new(),
            ended: None,
        })
    }

    /// A whole turn.
    ///
    /// # Panics
    /// When it has no end.
    #[must_use]
    pub fn turn(&self, session: &str, prompt: &str) -> Said {
        self.begin(session, prompt).expect("it runs").rest()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> i32 {
        let running = self.running();
        let process = &running.as_ref().expect("it runs").process;
        process.id().cast_signed()
    }

    /// Whether its process was started and not ended by a test.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// Kills its process.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(&self) {
        let mut running = self.running().take().expect("it runs");
        running.process.kill().expect("it can be killed");
        running.process.wait().expect("it can be waited for");
    }

    /// Stops its process.
    pub fn stop(&self) {
        signal(self.pid(), libc::SIGSTOP);
    }

    /// Stops its process and all that it has started, in this order.
    pub fn stop_all(&self) {
        self.stop();
        for pid in descendants(self.pid()) {
            // One may have ended since it was found.
            // SAFETY: takes numbers only.
            unsafe { libc::kill(pid, libc::SIGSTOP) };
        }
    }

    /// Lets all of it go on.
    pub fn go_on(&self) {
        for pid in descendants(self.pid()) {
            // SAFETY: takes numbers only.
            unsafe { libc::kill(pid, libc::SIGCONT) };
        }
        signal(self.pid(), libc::SIGCONT);
    }

    /// Has it shut down, and returns how it ended.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn close(&self) -> Result<ExitStatus> {
        let mut running = self.running().take().context("it has ended")?;
        running.stdin = None;
        Ok(running.process.wait()?)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        lock(&self.running)
    }
}

impl Drop for FleetProcess {
    fn drop(&mut self) {
        if let Some(mut running) = self.running().take() {
            // It may be stopped. What it has started sees its end.
            running.process.kill().expect("it can be killed");
            running.process.wait().expect("it can be waited for");
        }
    }
}

impl ProcessTurn {
    /// Waits for its next event, so long.
    ///
    /// # Panics
    /// When the server has refused it.
    pub fn hear(&mut self, limit: Duration) -> Heard {
        match self.messages.recv_timeout(limit) {
            Ok((at, Message::Event(event))) => {
                let is_end = matches!(*event, Event::MessageEnd { .. });
                self.events.push(*event);
                if is_end {
                    self.ended = Some(at);
                    return Heard::End;
                }
                Heard::Event
            }
            Ok((_, Message::Refused(why))) => panic!("the turn was refused: {why}"),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::HostIsGone,
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn rest(mut self) -> Said {
        loop {
            match self.hear(NEVER) {
                Heard::Event => {}
                Heard::End => {
                    return Said {
                        events: self.events,
                        code: None,
                        stderr: String::new(),
                    };
                }
                other => panic!("{other:?} after {:?}", self.events),
            }
        }
    }

    /// Waits until its host has ended.
    ///
    /// # Panics
    /// When it has an end before.
    pub fn is_cut_off(mut self) {
        loop {
            match self.hear(NEVER) {
                Heard::Event => {}
                Heard::HostIsGone => return,
                other => panic!("{other:?} after {:?}", self.events),
            }
        }
    }
}

/// Hands each message of a server to the turn that it belongs to, until the server ends.
fn hear(lines: BufReader<ChildStdout>, turns: &Mutex<Turns>) {
    for line in lines.lines() {
        // One that is killed may leave half a line.
        let Some(message) = line
            .ok()
            .and_then(|line| serde_json::from_str::<Value>(&line).ok())
        else {
            break;
        };
        let now = Instant::now();
        let mut turns = lock(turns);
        if let Some(asked) = message.get("id").and_then(Value::as_u64)
            && let Some(to) = turns.asked.remove(&asked)
        {
            match message.pointer("/result/turnId").and_then(Value::as_str) {
                Some(name) => {
                    turns.named.insert(name.to_owned(), to);
                }
                None => send(&to, now, Message::Refused(message.to_string())),
            }
            continue;
        }
        let name = message.pointer("/params/turnId").and_then(Value::as_str);
        let (Some(name), Some(event)) = (name, message.pointer("/params/event")) else {
            continue;
        };
        let Some(to) = turns.named.get(name) else {
            continue;
        };
        match serde_json::from_value::<Event>(event.clone()) {
            Ok(event) => {
                let is_end = matches!(event, Event::MessageEnd { .. });
                send(to, now, Message::Event(Box::new(event)));
                if is_end {
                    turns.named.remove(name);
                }
            }
            Err(error) => send(to, now, Message::Refused(format!("{error}: {event}"))),
        }
    }
    // Whoever waits for a turn sees that nothing comes any more.
    *lock(turns) = Turns::default();
}

fn send(to: &Sender<(Instant, Message)>, at: Instant, message: Message) {
    // A test may have lost interest.
    let _ = to.send((at, message));
}

fn merge(into: &mut Value, keys: &Value) {
    match (into, keys) {
        (Value::Object(into), Value::Object(keys)) => {
            for (key, value) in keys {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value.clone(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
