//! The `models` command.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::process::{Command, Output};

use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};

fn models(config: &Value, args: &[&str]) -> Output {
    // Codex is not needed for this.
    let workspace = Workspace::new(Path::new("/nowhere")).unwrap();
    workspace.configure(config).unwrap();
    Command::new(program())
        .args(["models", "--config"])
        .arg(workspace.config())
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn the_models_are_those_that_the_component_advertises_with_their_arguments() {
    let config = json!({
        "supported_models": ["gpt-5.5", { "id": "codex", "images": false, "efforts": ["low"] }, "fast"],
        "model_args": { "fast": ["--model", "gpt-5.5 mini", "-c", "model_reasoning_effort=\"low\""] },
    });
    let output = models(&config, &[]);
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "gpt-5.5  default  --model gpt-5.5\n\
         codex             no arguments: codex chooses\n\
         fast              --model 'gpt-5.5 mini' -c 'model_reasoning_effort=\"low\"'\n"
    );
    let output = models(&config, &["--json"]);
    let offer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        offer,
        json!({
            "id": "plexum-openai-provider",
            "version": env!("CARGO_PKG_VERSION"),
            "capabilities": ["images", "resumable", "instructions", "structured_output", "effort"],
            "models": [
                {
                    "id": "gpt-5.5",
                    "images": true,
                    "efforts": [],
                    "default": true,
                    "args": ["--model", "gpt-5.5"],
                },
                { "id": "codex", "images": false, "efforts": ["low"], "default": false, "args": [] },
                {
                    "id": "fast",
                    "images": true,
                    "efforts": [],
                    "default": false,
                    "args": ["--model", "gpt-5.5 mini", "-c", "model_reasoning_effort=\"low\""],
                },
            ],
        })
    );
}

#[test]
fn a_configuration_with_a_mistake_offers_nothing() {
    let output = models(&json!({ "supported_models": [] }), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("`supported_models`: is empty"), "{stderr}");
}
