//! A client of an agent.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;

use plexum_openai_provider_tests::agent as real;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::json_rpc::Peer;
use plexum_openai_provider_tests::workspace::{Workspace, cache_home, program};
use serde_json::{Value, json};

use super::schema;

pub fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

/// A workspace in which `codex exec` does these, one call after the other; without any, it repeats each prompt.
pub fn scripted(calls: impl IntoIterator<Item = Vec<Step>>) -> Workspace {
    let calls: Vec<_> = calls.into_iter().collect();
    let workspace = if calls.is_empty() {
        Workspace::new(fake_codex()).unwrap()
    } else {
        Workspace::scripted(fake_codex(), calls).unwrap()
    };
    over_exec(&workspace, &json!({}));
    workspace
}

/// Configures the transport `exec`, and these keys.
pub fn over_exec(workspace: &Workspace, keys: &Value) {
    let mut config = json!({ "binary": fake_codex(), "transport": "exec" });
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    workspace.configure(&config).unwrap();
}

/// What codex does in a turn that never ends.
pub fn endless() -> Vec<Step> {
    vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        Step::Forever,
    ]
}

/// An agent. Every message of it is checked against the protocol's schema.
pub struct Agent {
    peer: Peer,
    /// What was read while something else was waited for.
    pub kept: Vec<Value>,
}

impl Deref for Agent {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
}

impl Agent {
    /// Starts one with the configuration of this workspace.
    pub fn start(workspace: &Workspace) -> Self {
        Self::spawn(&mut Self::command(workspace))
    }

    /// The command that [`Agent::start`] runs.
    pub fn command(workspace: &Workspace) -> Command {
        let mut command = Command::new(program());
        command
            .arg("acp")
            .arg("--config")
            .arg(workspace.config())
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
            .env("XDG_STATE_HOME", workspace.state_home());
        command
    }

    pub fn spawn(command: &mut Command) -> Self {
        Agent {
            peer: Peer::spawn(command, Some(schema::check)),
            kept: Vec::new(),
        }
    }

    /// As [`Agent::start`], and past `initialize`.
    pub fn initialized(workspace: &Workspace) -> Self {
        let mut agent = Self::start(workspace);
        agent.call("initialize", json!({ "protocolVersion": 1 }));
        agent
    }

    /// One of the real codex, past `initialize`.
    pub fn of(real: &real::Agent) -> Self {
        let mut agent = Self::spawn(&mut on_real_codex(real));
        agent.call("initialize", json!({ "protocolVersion": 1 }));
        agent
    }

    /// The answer to a request, whole; what comes before it is kept.
    pub fn answer(&mut self, id: u64) -> Value {
        if let Some(place) = self.kept.iter().position(|message| message["id"] == id) {
            return self.kept.remove(place);
        }
        loop {
            let message = self.receive();
            if message["id"] == id {
                return message;
            }
            self.kept.push(message);
        }
    }

    /// Asks for something, and the result of it.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        let answer = self.answer(id);
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].clone()
    }

    /// Asks for something, and the error that comes of it.
    pub fn refused(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        let answer = self.answer(id);
        assert!(answer.get("error").is_some(), "{answer}");
        answer["error"].clone()
    }

    /// Begins a session in this folder; its id.
    pub fn session(&mut self, folder: &Path) -> String {
        let result = self.call("session/new", json!({ "cwd": folder, "mcpServers": [] }));
        result["sessionId"].as_str().unwrap().to_owned()
    }

    /// Goes on with a session.
    pub fn resume(&mut self, session: &str, folder: &Path) -> Value {
        let params = json!({ "sessionId": session, "cwd": folder, "mcpServers": [] });
        self.call("session/resume", params)
    }

    /// Sends a prompt; its id.
    pub fn prompt(&mut self, session: &str, text: &str) -> u64 {
        let prompt = json!([{ "type": "text", "text": text }]);
        self.ask(
            "session/prompt",
            json!({ "sessionId": session, "prompt": prompt }),
        )
    }

    /// Sends a prompt, and waits for its end: the text of the answer, and the whole answer to the request.
    pub fn turn(&mut self, session: &str, text: &str) -> (String, Value) {
        self.updates(session);
        let id = self.prompt(session, text);
        let answer = self.answer(id);
        let text = self.text(session);
        (text, answer)
    }

    /// The updates of a session that have come, and are not given again.
    pub fn updates(&mut self, session: &str) -> Vec<Value> {
        let is_one = |message: &mut Value| message["params"]["sessionId"] == session;
        let messages: Vec<Value> = self.kept.extract_if(.., is_one).collect();
        messages
            .into_iter()
            .map(|message| {
                assert_eq!(message["method"], "session/update", "{message}");
                message["params"]["update"].clone()
            })
            .collect()
    }

    /// The text of the answer in the updates that have come.
    pub fn text(&mut self, session: &str) -> String {
        let updates = self.updates(session).into_iter();
        let chunks = updates.filter(|update| update["sessionUpdate"] == "agent_message_chunk");
        let texts = chunks.map(|chunk| chunk["content"]["text"].as_str().unwrap().to_owned());
        texts.collect()
    }

    /// Waits for this text of an answer.
    pub fn until(&mut self, session: &str, text: &str) {
        let is_it = |message: &Value| {
            let params = &message["params"];
            params["sessionId"] == session && params["update"]["content"]["text"] == text
        };
        if self.kept.iter().any(is_it) {
            return;
        }
        loop {
            let message = self.receive();
            let found = is_it(&message);
            self.kept.push(message);
            if found {
                return;
            }
        }
    }

    /// Waits for the agent to end; its exit code, and what is left of its two outputs.
    pub fn end(self) -> (Option<i32>, String, String) {
        self.peer.end()
    }
}

/// The command of an agent of the real codex, over `app-server` unless the configuration says otherwise.
pub fn on_real_codex(real: &real::Agent) -> Command {
    let mut command = Agent::command(&real.workspace);
    command
        .env("CODEX_HOME", real.home.path())
        // Codex's tools run a login shell, which would read the tester's profile.
        .env("HOME", real.home.path());
    command
}
