//! A client of a server.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::Event;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::json_rpc::Peer;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};

pub fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

/// A workspace in which codex does this, turn after turn.
pub fn scripted(steps: impl IntoIterator<Item = Step>) -> Workspace {
    Workspace::scripted(fake_codex(), [steps.into_iter().collect()]).unwrap()
}

/// A server.
pub struct Server {
    peer: Peer,
    /// What was read while something else was waited for.
    events: Vec<(String, Event)>,
}

impl Deref for Server {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
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
        Server {
            peer: Peer::spawn(command, None),
            events: Vec::new(),
        }
    }

    /// As [`Server::start`], and past `initialize`.
    pub fn initialized(workspace: &Workspace) -> Self {
        let mut server = Self::start(workspace);
        server.call("initialize", json!({ "protocolVersion": 1 }));
        server
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
    pub fn end(self) -> (Option<i32>, String, String) {
        self.peer.end()
    }
}
