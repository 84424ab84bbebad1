//! What a codex that waits holds is out of date: the next turn begins another one, and says what a new one would say.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use plexum_openai_provider::{Event, FailureKind, NoticeKind};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::{RealCodex, TURN_FLAGS};
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use plexum_openai_provider_tests::warm::{WarmServe, server, signal};
use plexum_openai_provider_tests::workspace::Said;
use serde_json::{Value, json};

/// Codex 0.135 lets any process go on with a conversation that another one has open.
fn is_shared(codex: &RealCodex) -> bool {
    codex.version == "0.135.0"
}

/// A conversation of two turns, of which the second found the codex of the first.
struct Warm {
    agent: Agent,
    /// Not a provider in this process: codex is to have its home from the environment, as the host sees it.
    serve: WarmServe,
    codex: RealCodex,
    server: i32,
    thread_id: String,
    /// The tokens read in all turns so far.
    input_tokens: u64,
}

impl Warm {
    fn new(codex: &RealCodex) -> Self {
        let agent = Agent::new(codex).unwrap();
        // A copy, so that it can be changed.
        let program = agent.program_with_home().unwrap();
        let config = json!({ "binary": program, "transport": "app-server", "limits": { "busy_seconds": 2 } });
        agent.configure(&config).unwrap();
        let mut serve = WarmServe::of(&agent).unwrap();
        let said = serve.say(agent.workspace.path(), "one").unwrap();
        let thread_id = said.start().unwrap().0.to_owned();
        let mut warm = Warm {
            server: server(agent.workspace.path()),
            codex: codex.clone(),
            agent,
            serve,
            thread_id,
            input_tokens: total(&said),
        };
        warm.goes_on(true, &["one"]);
        warm
    }

    /// The conversation goes on: in the codex that waits, or in another one, which knows all of it.
    fn goes_on(&mut self, stays: bool, before: &[&str]) -> Said {
        let said = self.say("mock:history");
        let (codex, now) = (&self.codex, self.server());
        let case = format!("{codex:?}: {said:?}");
        assert_eq!(
            said.start(),
            Some((self.thread_id.as_str(), true)),
            "{case}"
        );
        let mut prompts: Vec<String> = serde_json::from_str(&said.text()).unwrap();
        prompts.retain(|prompt| prompt != "mock:history");
        assert_eq!(prompts, before, "{case}");
        assert_eq!(now == self.server, stays, "{case}");
        // The one before has ended by then.
        assert_eq!(is_running(self.server), stays, "{case}");
        self.server = now;
        self.counted(&said);
        said
    }

    /// What the turn has used is the difference between two totals.
    fn counted(&mut self, said: &Said) {
        let total = total(said);
        let used = said.usage().0.unwrap().input_tokens;
        assert_eq!(used, total - self.input_tokens, "{said:?}");
        self.input_tokens = total;
    }

    fn say(&mut self, prompt: &str) -> Said {
        self.serve.say(self.agent.workspace.path(), prompt).unwrap()
    }

    /// The codex that waits.
    fn server(&self) -> i32 {
        server(self.agent.workspace.path())
    }

    /// The codex that waits ends.
    fn dies(&self) {
        signal(self.server, libc::SIGKILL);
        wait_until("it is dead", || !is_running(self.server));
    }

    /// Codex's record of the conversation.
    fn rollout(&self) -> PathBuf {
        let sessions = self.agent.home.path().join("sessions");
        find(&sessions, &self.thread_id).unwrap()
    }
}

fn total(said: &Said) -> u64 {
    said.usage().1.unwrap().input_tokens
}

/// The file below a folder whose name holds this.
fn find(folder: &Path, part: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if let Some(found) = find(&path, part) {
                return Some(found);
            }
        } else if path.to_string_lossy().contains(part) {
            return Some(path);
        }
    }
    None
}

/// What is changed between two turns.
type Change = fn(&Agent);

#[test]
fn a_new_program_login_or_setting_is_a_new_codex() {
    let changes: [(&str, Change); 6] = [
        ("the program", |agent| {
            let program = agent.program_with_home().unwrap();
            let again = program.with_extension("new");
            std::fs::copy(&program, &again).unwrap();
            std::fs::rename(&again, &program).unwrap();
        }),
        ("the login", |agent| {
            let login = r#"{"OPENAI_API_KEY":"sk-one"}"#;
            std::fs::write(agent.home.path().join("auth.json"), login).unwrap();
        }),
        ("another login", |agent| {
            let login = r#"{"OPENAI_API_KEY":"sk-two"}"#;
            std::fs::write(agent.home.path().join("auth.json"), login).unwrap();
        }),
        ("no login", |agent| {
            std::fs::remove_file(agent.home.path().join("auth.json")).unwrap();
        }),
        ("the settings", |agent| {
            agent
                .home
                .append_config("[tools]\nview_image = false")
                .unwrap();
        }),
        ("the instructions", |agent| {
            std::fs::write(agent.workspace.path().join("AGENTS.md"), "Be kind.").unwrap();
        }),
    ];
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex);
        for (what, change) in changes {
            change(&warm.agent);
            eprintln!("{what} changes");
            warm.goes_on(false, &["one"]);
            warm.goes_on(true, &["one"]);
        }
    });
}

/// Somebody goes on with the conversation in a terminal.
#[test]
fn a_turn_by_hand_is_a_part_of_the_conversation_or_is_refused() {
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex);
        for by_hand in ["by hand", "again by hand"] {
            let agent = &warm.agent;
            let mut exec = codex.command(&agent.home, agent.workspace.path());
            exec.args(["exec", "resume"])
                .args(TURN_FLAGS)
                .args([&warm.thread_id, by_hand]);
            let exec = exec.output().unwrap();
            let stderr = String::from_utf8_lossy(&exec.stderr);
            assert_eq!(
                exec.status.success(),
                is_shared(&codex),
                "{codex:?}: {stderr}"
            );
            if is_shared(&codex) {
                // Those tokens are nobody's turn of ours.
                let said = warm.say("mock:history");
                assert!(said.text().contains(by_hand), "{codex:?}: {said:?}");
                assert_ne!(warm.server(), warm.server, "{codex:?}");
                let used = said.usage().0.unwrap().input_tokens;
                assert!(
                    used < total(&said) - warm.input_tokens,
                    "{codex:?}: {said:?}"
                );
                (warm.server, warm.input_tokens) = (warm.server(), total(&said));
            } else {
                assert!(stderr.contains("already has an active writer"), "{stderr}");
                warm.goes_on(true, &["one"]);
            }
        }
    });
}

#[test]
fn a_codex_that_died_while_it_waited_is_replaced() {
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex);
        for killed_by in [libc::SIGKILL, libc::SIGTERM, libc::SIGABRT] {
            // The next turn begins while it dies, and when it is dead.
            for waits in [false, true] {
                let server = warm.server;
                signal(server, killed_by);
                if waits {
                    wait_until("it is dead", || !is_running(server));
                }
                warm.goes_on(false, &["one"]);
            }
        }
    });
}

/// Whether a notice says that the conversation was lost, and what the turn began instead.
fn is_lost(said: &Said, thread_id: &str) -> bool {
    let told = said.events.iter().any(|event| match event {
        Event::Notice {
            kind: NoticeKind::SessionReplaced { .. },
            message,
            ..
        } => message.contains("no longer has the stored thread"),
        _ => false,
    });
    told && said
        .start()
        .is_some_and(|(new, resumed)| new != thread_id && !resumed)
}

#[test]
fn a_conversation_that_was_deleted_is_lost() {
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex);
        std::fs::remove_file(warm.rollout()).unwrap();
        let said = warm.say("go on");
        assert!(is_lost(&said, &warm.thread_id), "{codex:?}: {said:?}");
        assert_eq!(said.text(), "echo: go on");
        assert!(!is_running(warm.server));
    });
}

/// Another app-server on the same home.
struct Other {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn new(agent: &Agent, codex: &RealCodex) -> Self {
        let mut process = codex
            .command(&agent.home, agent.workspace.outside("").as_path())
            .arg("app-server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut other = Other {
            stdin: process.stdin.take(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
        };
        let client = json!({ "name": "other", "title": "Other", "version": "1" });
        other.ask("initialize", &json!({ "clientInfo": client }));
        other
    }

    /// Sends a request, and returns the answer to it.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({ "id": method, "method": method, "params": params });
        writeln!(self.stdin.as_ref().unwrap(), "{request}").unwrap();
        loop {
            let line = self.lines.next().unwrap().unwrap();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == method {
                return message;
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.stdin.take());
        let _ended = self.process.wait();
    }
}

#[test]
fn a_conversation_that_was_archived_is_not_gone_on_with() {
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex);
        let mut other = Other::new(&warm.agent, &codex);
        let thread = json!({ "threadId": warm.thread_id });
        let archived = other.ask("thread/archive", &thread);
        if is_shared(&codex) {
            assert!(archived["result"].is_object(), "{archived}");
            // As with `codex exec`, this version goes on with it.
            warm.goes_on(false, &["one"]);
            return;
        }
        // Nobody can, as long as a codex has it open.
        let why = archived["error"]["message"].as_str().unwrap();
        assert!(why.contains("already has an active writer"), "{archived}");
        warm.goes_on(true, &["one"]);
        warm.dies();
        // The other one has the conversation open by now, too.
        drop(other);
        let mut other = Other::new(&warm.agent, &codex);
        let archived = other.ask("thread/archive", &thread);
        assert!(archived["result"].is_object(), "{archived}");
        let said = warm.say("go on");
        let failure = said.failure().unwrap();
        assert_eq!(failure.kind, FailureKind::SessionArchived, "{failure:?}");
        assert!(failure.message.contains("codex unarchive"), "{failure:?}");
        let back = other.ask("thread/unarchive", &thread);
        assert!(back["result"].is_object(), "{back}");
        drop(other);
        warm.goes_on(false, &["one"]);
    });
}

#[test]
fn a_conversation_that_another_program_holds_is_busy() {
    side_by_side(real_codex!(), |codex| {
        let mut warm = Warm::new(&codex);
        // The one that waits ends, and another program takes the conversation.
        warm.dies();
        let mut other = Other::new(&warm.agent, &codex);
        let opened = other.ask("thread/resume", &json!({ "threadId": warm.thread_id }));
        assert!(opened["result"].is_object(), "{codex:?}: {opened}");
        let said = warm.say("go on");
        if is_shared(&codex) {
            assert_eq!(said.text(), "echo: go on", "{said:?}");
        } else {
            let failure = said.failure().unwrap();
            assert_eq!(failure.kind, FailureKind::SessionBusy, "{failure:?}");
            assert!(failure.message.contains("Another process"), "{failure:?}");
            drop(other);
            let said = warm.say("go on");
            assert_eq!(said.text(), "echo: go on", "{said:?}");
        }
    });
}
