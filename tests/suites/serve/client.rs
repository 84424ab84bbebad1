//! A client that writes and reads lines, and hides nothing.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use plexum_openai_provider::Event;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::wait::wait_until;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};

/// How long a message is waited for, in milliseconds. It only ends a test that has failed.
const PATIENCE: i32 = 120_000;

pub fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

/// A workspace in which codex does this, turn after turn.
pub fn scripted(steps: impl IntoIterator<Item = Step>) -> Workspace {
    Workspace::scripted(fake_codex(), [steps.into_iter().collect()]).unwrap()
}

/// A server, and the client's ends of its pipes.
pub struct Server {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<BufReader<ChildStdout>>,
    /// The number of the last request.
    last: u64,
    /// What was read while something else was waited for.
    events: Vec<(String, Event)>,
}

impl Server {
    /// Starts one with the configuration of this workspace.
    pub fn start(workspace: &Workspace) -> Self {
        let mut command = Command::new(program());
        command
            .arg("serve")
            .arg("--config")
            .arg(workspace.config())
            .env("XDG_STATE_HOME", workspace.state_home());
        Self::spawn(&mut command)
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .default_signals()
            .spawn()
            .unwrap();
        Server {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            child,
            last: 0,
            events: Vec::new(),
        }
    }

    /// As [`Server::start`], and past `initialize`.
    pub fn initialized(workspace: &Workspace) -> Self {
        let mut server = Self::start(workspace);
        server.call("initialize", json!({ "protocolVersion": 1 }));
        server
    }

    pub fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Writes a line.
    pub fn line(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// The next line, as it was written.
    pub fn read(&mut self) -> String {
        let stdout = self.stdout.as_mut().unwrap();
        if stdout.buffer().is_empty() {
            let mut watched = libc::pollfd {
                fd: stdout.get_ref().as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: the pointer is to one initialised structure, which outlives the call.
            let ready = unsafe { libc::poll(&raw mut watched, 1, PATIENCE) };
            assert_eq!(ready, 1, "the server says nothing");
        }
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let line = line.strip_suffix('\n').expect("a whole line");
        line.to_owned()
    }

    /// The next message.
    pub fn receive(&mut self) -> Value {
        serde_json::from_str(&self.read()).unwrap()
    }

    /// Sends a request; its id.
    pub fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.last += 1;
        let id = self.last;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.line(&request.to_string());
        id
    }

    /// The answer to a request, whole; events that come before it are kept.
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.receive();
            if message["method"].is_null() {
                assert_eq!(message["id"], id, "{message}");
                return message;
            }
            self.keep(message);
        }
    }

    fn keep(&mut self, message: Value) {
        assert_eq!(message["method"], "turn/event", "{message}");
        assert_eq!(message.get("id"), None, "{message}");
        let turn_id = message["params"]["turnId"].as_str().unwrap().to_owned();
        let event = serde_json::from_value(message["params"]["event"].clone()).unwrap();
        self.events.push((turn_id, event));
    }

    /// Asks for something, and the result of it.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        let answer = self.answer(id);
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].clone()
    }

    /// Asks for something, and the code of the error that comes of it.
    pub fn refused(&mut self, method: &str, params: Value) -> i64 {
        let id = self.ask(method, params);
        self.answer(id)["error"]["code"].as_i64().unwrap()
    }

    /// Begins a turn; its id.
    pub fn turn(&mut self, workspace: &Workspace, prompt: &str) -> String {
        let params = json!({ "workspace": workspace.path(), "prompt": prompt });
        let result = self.call("turn/start", params);
        result["turnId"].as_str().unwrap().to_owned()
    }

    /// The next event of any turn.
    pub fn event(&mut self) -> (String, Event) {
        if self.events.is_empty() {
            let message = self.receive();
            self.keep(message);
        }
        self.events.remove(0)
    }

    /// The events of a turn until this text, or until its end; those of others are kept.
    pub fn until(&mut self, turn_id: &str, last: Option<&str>) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let Some(place) = self.events.iter().position(|(of, _)| of == turn_id) else {
                let message = self.receive();
                self.keep(message);
                continue;
            };
            let (_, event) = self.events.remove(place);
            let is_last = match &event {
                Event::MessageEnd { .. } => true,
                Event::TextDelta { text, .. } => last == Some(text),
                _ => false,
            };
            events.push(event);
            if is_last {
                return events;
            }
        }
    }

    /// Waits for the server to end; its exit code, and what is left of its two outputs.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let stdout = read_to_end(self.stdout.take());
        let stderr = read_to_end(self.child.stderr.take());
        let mut status = None;
        wait_until("the server has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let code = status.and_then(|status| status.code());
        (code, stdout.join().unwrap(), stderr.join().unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: `kill` takes plain numbers and touches no memory.
        assert_eq!(unsafe { libc::kill(self.id(), signal) }, 0);
    }
}

/// Reads a pipe meanwhile, so that nobody waits for room in it.
fn read_to_end(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut text).unwrap();
        }
        text
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of a test that has failed; one that has ended is not there any more.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
