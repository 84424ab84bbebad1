//! `servers`: which codex processes stay.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::process::Command;

use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::warm::{WarmServe, server};
use plexum_openai_provider_tests::workspace::program;
use serde_json::{Value, json};

/// What is shown of this workspace; other tests have servers, too.
fn shown(workspace: &Path) -> Vec<Value> {
    let output = Command::new(program())
        .args(["servers", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let all = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let here = json!(workspace.canonicalize().unwrap());
    all.filter(|server| server["workspace"] == here).collect()
}

#[test]
fn one_that_stays_is_shown_until_it_is_gone() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        agent
            .configure(&json!({ "transport": "app-server" }))
            .unwrap();
        let workspace = agent.workspace.path();
        assert!(shown(workspace).is_empty());
        let mut serve = WarmServe::of(&agent).unwrap();
        serve.say(workspace, "hello").unwrap();
        let [one] = &shown(workspace)[..] else {
            panic!("not one");
        };
        assert_eq!(one["pid"], server(workspace));
        assert_eq!(one["host_pid"], serve.process.id());
        assert!(one["memory_bytes"].as_u64().unwrap() > 5_000_000, "{one}");
        assert!(one["seconds"].as_u64().unwrap() < 300, "{one}");
        let text = Command::new(program()).arg("servers").output().unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(
            text.lines().count() > 1 && text.contains(&one["pid"].to_string()),
            "{text}"
        );
        serve.close_stdin();
        assert!(serve.process.wait().unwrap().success());
        assert!(shown(workspace).is_empty());
    }
}
