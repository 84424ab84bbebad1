//! Runs of the program: to its end, within a time, with all that it said.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use plexum_openai_provider::Event;
use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::wait::wait_until;
use serde_json::{Value, json};

/// What a run gave.
#[derive(Debug)]
pub struct Ran {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The events of its turns, each turn's in order.
    pub turns: Vec<Vec<Event>>,
}

/// Runs it with nothing but this on standard input.
pub fn run(command: Command, stdin: String) -> Ran {
    let mut running = Running::start(command);
    let mut input = running.child.stdin.take().unwrap();
    // One that cannot begin does not read it.
    let writing = thread::spawn(move || drop(input.write_all(stdin.as_bytes())));
    let stdout = read(running.child.stdout.take());
    let ran = running.end(stdout);
    writing.join().unwrap();
    ran
}

/// One turn of `say --json`.
pub fn say(command: Command, prompt: String) -> Ran {
    let mut ran = run(command, prompt);
    let events: Vec<Event> = ran.stdout.lines().map(event).collect();
    // Without any there was no turn.
    ran.turns = Some(events)
        .filter(|events| !events.is_empty())
        .into_iter()
        .collect();
    ran
}

/// Turns of `serve` in these workspaces, all at once.
pub fn serve(command: Command, workspaces: &[PathBuf], prompt: &str) -> Ran {
    let mut running = Running::start(command);
    let mut stdin = running.child.stdin.take().unwrap();
    let mut stdout = BufReader::new(running.child.stdout.take().unwrap());
    let request = |id: usize, method: &str, params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        format!("{request}\n")
    };
    let mut requests = request(0, "initialize", json!({ "protocolVersion": 1 }));
    for (number, workspace) in workspaces.iter().enumerate() {
        let params = json!({ "workspace": workspace, "prompt": prompt });
        requests.push_str(&request(number + 1, "turn/start", params));
    }
    let (ended, all_ended) = std::sync::mpsc::channel::<()>();
    let writing = thread::spawn(move || {
        let written = stdin.write_all(requests.as_bytes());
        // The end of its input ends the program, and with it all turns.
        if written.is_ok() {
            all_ended.recv().ok();
        }
    });
    let wanted = workspaces.len();
    let stdout = thread::spawn(move || {
        let (mut text, mut line, mut ends) = (String::new(), String::new(), 0);
        while stdout.read_line(&mut line).unwrap() > 0 {
            ends += usize::from(line.contains(r#""type":"message_end""#));
            if ends == wanted {
                ended.send(()).ok();
            }
            text.push_str(&line);
            line.clear();
        }
        text
    });
    let mut ran = running.end(stdout);
    writing.join().unwrap();
    ran.turns = turns(&ran.stdout, workspaces.len());
    ran
}

/// The events in what `serve` wrote, in the order of the requests.
fn turns(stdout: &str, count: usize) -> Vec<Vec<Event>> {
    let messages: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let id_of = |request: usize| {
        let answer = messages.iter().find(|message| message["id"] == request)?;
        let id = answer["result"]["turnId"].as_str();
        Some(id.unwrap_or_else(|| panic!("{answer}")).to_owned())
    };
    let events_of = |id: String| {
        let events = messages
            .iter()
            .filter(|message| message["params"]["turnId"] == id.as_str());
        events
            .map(|message| serde_json::from_value(message["params"]["event"].clone()).unwrap())
            .collect()
    };
    (1..=count).filter_map(id_of).map(events_of).collect()
}

fn event(line: &str) -> Event {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A program that runs.
struct Running {
    child: Child,
    stderr: JoinHandle<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .default_signals()
            .spawn()
            .unwrap();
        let stderr = read(child.stderr.take());
        Running { child, stderr }
    }

    fn end(mut self, stdout: JoinHandle<String>) -> Ran {
        let mut status = None;
        wait_until("the program has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Ran {
            code: status.and_then(|status| status.code()),
            stdout: stdout.join().unwrap(),
            stderr: self.stderr.join().unwrap(),
            turns: Vec::new(),
        }
    }
}

/// Reads a pipe meanwhile, so that nobody waits for room in it.
fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
