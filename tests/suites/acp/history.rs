//! What was said in a session, told again to a client that loads it: by the real codex, over both transports.

use std::fs;

use plexum_openai_provider_tests::agent::Agent as Real;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use serde_json::{Value, json};

use super::client::{Agent, on_real_codex};

/// The messages of these updates: what each is, and its text.
fn messages(updates: &[Value]) -> Vec<(&str, &str)> {
    let kinds = updates.iter().filter_map(|update| {
        let kind = update["sessionUpdate"].as_str()?;
        Some((
            kind.strip_suffix("_chunk")?,
            update["content"]["text"].as_str()?,
        ))
    });
    kinds.collect()
}

/// Loads a session in an agent of its own.
fn loaded(real: &Real, session: &str) -> (Agent, Vec<Value>) {
    let mut agent = Agent::spawn(&mut on_real_codex(real));
    let answer = agent.call("initialize", json!({ "protocolVersion": 1 }));
    assert_eq!(answer["agentCapabilities"]["loadSession"], true);
    let params = json!({ "sessionId": session, "cwd": real.workspace.path(), "mcpServers": [] });
    agent.call("session/load", params);
    // All of it came before the answer.
    let updates = agent.updates(session);
    (agent, updates)
}

#[test]
fn a_session_is_told_again_and_goes_on() {
    side_by_side(real_codex!(), |codex| {
        for transport in ["exec", "app-server"] {
            let real = Real::new(&codex).unwrap();
            real.configure(&json!({ "transport": transport })).unwrap();
            let mut agent = Agent::of(&real);
            let session = agent.session(real.workspace.path());
            let (_, untold) = loaded(&real, &session);
            assert_eq!(untold, [] as [Value; 0]);
            for prompt in ["hello", "mock:comment=echo hi", "mock:reasoning"] {
                agent.turn(&session, prompt);
            }
            agent.signal(libc::SIGKILL);
            agent.end();
            let (mut agent, updates) = loaded(&real, &session);
            assert_eq!(
                messages(&updates),
                [
                    ("user_message", "hello"),
                    ("agent_message", "echo: hello\n\n"),
                    ("user_message", "mock:comment=echo hi"),
                    ("agent_message", "I will look\n\n"),
                    ("agent_message", "done\n\n"),
                    ("user_message", "mock:reasoning"),
                    (
                        "agent_thought",
                        "**Planning the work**\n\nFirst this, then that.\n\n"
                    ),
                    ("agent_message", "thought about it\n\n"),
                ],
                "{} {transport}",
                codex.version
            );
            let (history, _) = agent.turn(&session, "mock:history");
            assert_eq!(
                history,
                r#"["hello","mock:comment=echo hi","mock:reasoning","mock:history"]"#
            );
        }
    });
}

#[test]
fn a_history_that_codex_has_lost_is_told_to_be_lost_and_the_session_opens() {
    side_by_side(real_codex!(), |codex| {
        let real = Real::new(&codex).unwrap();
        let mut agent = Agent::of(&real);
        let session = agent.session(real.workspace.path());
        agent.turn(&session, "hello");
        agent.call("session/close", json!({ "sessionId": session }));
        agent.signal(libc::SIGKILL);
        agent.end();
        fs::remove_dir_all(real.home.path().join("sessions")).unwrap();
        let (mut agent, updates) = loaded(&real, &session);
        let [("agent_message", said)] = messages(&updates)[..] else {
            panic!("{updates:?}");
        };
        assert!(
            said.starts_with("[What was said before in this session cannot be shown: ")
                && said.contains("has no record"),
            "{said}"
        );
        let (text, answer) = agent.turn(&session, "hello");
        assert_eq!(answer["result"]["stopReason"], "end_turn", "{answer}");
        assert!(text.ends_with("echo: hello"), "{text}");
    });
}
