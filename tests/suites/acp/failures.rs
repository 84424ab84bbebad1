//! Every failure is a sentence that an editor's user can act on: on the real codex, over its app-server.

use std::fs;

use plexum_openai_provider_tests::agent::Agent as Real;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use serde_json::{Value, json};

use super::client::{Agent, fake_codex, over_exec, scripted};

/// A prompt, the code of the error, its kind, and words of its sentence.
const CASES: [(&str, i64, &str, &str); 8] = [
    ("mock:e401", -32000, "auth", "codex login"),
    (
        "mock:e400model",
        -32602,
        "model_unsupported",
        "is not supported",
    ),
    ("mock:e429quota", -32050, "usage_limit", "usage limit"),
    ("mock:e429", -32603, "rate_limited", "429"),
    ("mock:overloaded", -32603, "overloaded", "at capacity"),
    ("mock:ctx", -32050, "context_overflow", "context window"),
    ("mock:drop", -32603, "network", "stream disconnected"),
    (
        "mock:e400plain",
        -32602,
        "invalid_request",
        "did not complete the request",
    ),
];

fn is_told(answer: &Value, code: i64, kind: &str, words: &str) {
    let error = &answer["error"];
    assert_eq!(
        (&error["code"], &error["data"]["kind"]),
        (&json!(code), &json!(kind)),
        "{answer}"
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{answer}");
    let data = &error["data"];
    assert_eq!(code == -32603, data["retryable"] == true, "{answer}");
    assert_eq!(code == -32000, data["authRequired"] == true, "{answer}");
    // acpx would show that in the place of the message.
    assert!(data["details"].is_null(), "{answer}");
    assert!(message.ends_with(&format!("({kind})")), "{answer}");
}

#[test]
fn what_the_service_says() {
    side_by_side(real_codex!(), |codex| {
        std::thread::scope(|scope| {
            for (prompt, code, kind, words) in CASES {
                let codex = &codex;
                scope.spawn(move || {
                    let real = Real::new(codex).unwrap();
                    let mut agent = Agent::of(&real);
                    let session = agent.session(real.workspace.path());
                    let (_, answer) = agent.turn(&session, prompt);
                    is_told(&answer, code, kind, words);
                });
            }
        });
    });
}

#[test]
fn a_prompt_that_is_too_long_costs_nothing_and_the_next_one_is_answered() {
    side_by_side(real_codex!(), |codex| {
        let real = Real::new(&codex).unwrap();
        let mut agent = Agent::of(&real);
        let session = agent.session(real.workspace.path());
        let (_, answer) = agent.turn(&session, &"x".repeat(1_100_000));
        is_told(&answer, -32602, "prompt_too_large", "1048576");
        let (text, _) = agent.turn(&session, "hello");
        assert_eq!(text, "echo: hello");
    });
}

#[test]
fn a_conversation_that_codex_has_lost_is_begun_again_and_the_user_is_told() {
    side_by_side(real_codex!(), |codex| {
        let real = Real::new(&codex).unwrap();
        let mut agent = Agent::of(&real);
        let session = agent.session(real.workspace.path());
        agent.turn(&session, "hello");
        agent.call("session/close", json!({ "sessionId": session }));
        fs::remove_dir_all(real.home.path().join("sessions")).unwrap();
        agent.resume(&session, real.workspace.path());
        let (text, answer) = agent.turn(&session, "mock:history");
        assert_eq!(answer["result"]["stopReason"], "end_turn", "{answer}");
        // No client but one that shows notices would tell it otherwise.
        let (told, history) = text.split_once("]\n\n").unwrap();
        assert!(
            told.starts_with('[') && told.contains("a new one was started"),
            "{text}"
        );
        assert_eq!(history.trim(), r#"["mock:history"]"#);
    });
}

#[test]
fn a_codex_that_is_not_there_is_told_with_what_to_do() {
    let workspace = scripted([]);
    over_exec(&workspace, &json!({ "binary": "/nowhere/codex" }));
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let (_, answer) = agent.turn(&session, "x");
    is_told(
        &answer,
        -32050,
        "not_installed",
        "npm install -g @openai/codex",
    );
}

#[test]
fn a_configuration_that_is_wrong_is_told_before_anything_else() {
    let workspace = scripted([]);
    over_exec(
        &workspace,
        &json!({ "binary": fake_codex(), "transprot": "exec" }),
    );
    let (code, stdout, stderr) = Agent::start(&workspace).end();
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("transprot"), "{stderr}");
}
