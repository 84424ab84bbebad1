//! A whole conversation, kept as an example of the protocol: `tests/suites/serve/transcript.jsonl`.
//!
//! Each line is what the `client` or the `server` said. What is `wrong` on purpose is marked, and stands there
//! as a text when it is not JSON. `BLESS=1` rewrites it; read the diff before you commit it.

use std::fmt::Write as _;
use std::fs;

use plexum_openai_provider_tests::fake_codex::{Script, Step};
use plexum_openai_provider_tests::workspace::Workspace;
use regex_lite::Regex;
use serde_json::{Value, json};

use super::client::{Server, fake_codex};

pub const TRANSCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/serve/transcript.jsonl");

/// The workspace and the thread of the transcript.
const WORKSPACE: &str = "/home/me/agents/scribe";
const THREAD: &str = "01a2b3c4-0000-7000-8000-000000000000";
const SHA256: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A conversation under way, and what was said in it, a line of JSON each.
struct Conversation {
    server: Server,
    workspace: Workspace,
    said: String,
}

impl Conversation {
    /// Says something, and hears this many messages.
    fn say(&mut self, line: &str, answers: usize) {
        writeln!(self.said, r#"{{"client":{line}}}"#).unwrap();
        self.send(line, answers);
    }

    /// Says what is wrong on purpose.
    fn say_wrong(&mut self, line: &str) {
        let is_json = serde_json::from_str::<Value>(line).is_ok();
        let entry = if is_json {
            line.to_owned()
        } else {
            Value::from(line).to_string()
        };
        writeln!(self.said, r#"{{"client":{entry},"wrong":true}}"#).unwrap();
        self.send(line, 1);
    }

    fn send(&mut self, line: &str, answers: usize) {
        let workspace = self.workspace.path().to_str().unwrap();
        self.server.line(&line.replace(WORKSPACE, workspace));
        for _ in 0..answers {
            let line = self.server.read();
            writeln!(self.said, r#"{{"server":{}}}"#, normal(line)).unwrap();
        }
    }
}

/// A message without what differs from run to run.
fn normal(line: String) -> String {
    let message: Value = serde_json::from_str(&line).unwrap();
    let differs = [
        ("/result/component/sha256", SHA256),
        ("/params/event/thread_id", THREAD),
    ];
    let line = differs.iter().fold(line, |line, (place, value)| {
        let found = message.pointer(place).and_then(Value::as_str);
        found.map_or(line.clone(), |found| line.replace(found, value))
    });
    let seconds = Regex::new(r#"seconds":[0-9.e-]+"#).unwrap();
    seconds.replace_all(&line, r#"seconds":0.25"#).into_owned()
}

#[test]
fn the_transcript_is_what_is_said() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let command = json!({"type":"item.completed","item":{"id":"item_0","type":"command_execution","command":"ls","aggregated_output":"notes.md\n","exit_code":0,"status":"completed"}});
    let first = [
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::emit(command.to_string()),
        Step::message("One file: notes.md."),
        Step::TurnCompleted,
    ];
    let second = [
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("I shall think for long."),
        Step::Forever,
    ];
    let third = Step::turn(r#"{"good":true}"#);
    let fourth = Step::failed_turn("You’ve hit your usage limit. Try again later.");
    Script::new()
        .call(first)
        .call(second)
        .call(third)
        .call(fourth)
        .write_to(workspace.path())
        .unwrap();
    let mut conversation = Conversation {
        server: Server::start(&workspace),
        workspace,
        said: String::new(),
    };
    let c = &mut conversation;
    c.say(r#"{"jsonrpc":"2.0","id":1,"method":"models/list"}"#, 1);
    c.say(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1,"clientInfo":{"name":"example","version":"1.0"}}}"#, 1);
    c.say(r#"{"jsonrpc":"2.0","id":2,"method":"models/list"}"#, 1);
    // The answer and five events.
    c.say(r#"{"jsonrpc":"2.0","id":3,"method":"turn/start","params":{"workspace":"/home/me/agents/scribe","prompt":"What is in this folder?"}}"#, 6);
    c.say(r#"{"jsonrpc":"2.0","id":"four","method":"turn/start","params":{"workspace":"/home/me/agents/scribe","model":"codex","messages":[{"role":"user","content":"What is in this folder?"},{"role":"assistant","content":"One file: notes.md."},{"role":"user","content":[{"type":"text","text":"Is it any good?"}]}]}}"#, 3);
    c.say(r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#, 1);
    // The answer and the end.
    c.say(
        r#"{"jsonrpc":"2.0","id":6,"method":"turn/cancel","params":{"turnId":"turn-2"}}"#,
        2,
    );
    c.say(
        r#"{"jsonrpc":"2.0","id":7,"method":"turn/cancel","params":{"turnId":"turn-2"}}"#,
        1,
    );
    // Another conversation in the same workspace.
    c.say(r#"{"jsonrpc":"2.0","id":8,"method":"turn/start","params":{"workspace":"/home/me/agents/scribe","session":"review","instructions":"You review notes. Be brief.","prompt":"Is notes.md any good?","options":{"effort":"low","outputSchema":{"type":"object","properties":{"good":{"type":"boolean"}},"required":["good"],"additionalProperties":false}}}}"#, 4);
    c.say(r#"{"jsonrpc":"2.0","id":9,"method":"turn/start","params":{"workspace":"/home/me/agents/scribe","prompt":"And now?"}}"#, 3);
    c.say(r#"{"jsonrpc":"2.0","id":10,"method":"metrics/get"}"#, 1);
    c.say_wrong(r#"{"jsonrpc":"2.0","id":11,"method":"turn/start","params":{"workspace":"scribe","prompt":"x"}}"#);
    c.say_wrong(r#"{"jsonrpc":"2.0","id":12,"method":"turn/start","params":{"workspace":"/home/me/agents/scribe","messages":[{"role":"you"}]}}"#);
    c.say_wrong(r#"{"jsonrpc":"2.0","id":13,"method":"turn/begin","params":{}}"#);
    c.say_wrong(r#"[{"jsonrpc":"2.0","id":14,"method":"ping"}]"#);
    c.say_wrong("this is not JSON");
    c.say(r#"{"jsonrpc":"2.0","id":15,"method":"shutdown"}"#, 1);
    let Conversation { server, said, .. } = conversation;
    assert_eq!(server.end(), (Some(0), String::new(), String::new()));

    if std::env::var_os("BLESS").is_some() {
        fs::write(TRANSCRIPT, said).unwrap();
        return;
    }
    let written_down = fs::read_to_string(TRANSCRIPT).unwrap_or_default();
    let different = written_down
        .lines()
        .zip(said.lines())
        .find(|(old, new)| old != new);
    assert!(
        written_down == said,
        "serve says something else than {TRANSCRIPT}, first here (written down, now): {different:#?}\n\
         If that is right, write it down with BLESS=1 and read the difference."
    );
}
