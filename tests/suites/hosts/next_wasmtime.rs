//! The very same component in the newest wasmtime (`tests/next-wasmtime`, a workspace of its own). The suite `python` has
//! it in that of its package, too.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::COMPONENT;
use plexum_openai_provider_tests::component::target_folder;
use serde_json::Value;

const TESTS: &str = env!("CARGO_MANIFEST_DIR");

/// A turn with a tool, and one that failed.
const RECORDINGS: [&str; 2] = ["0.169.0/command-ok", "0.169.0/auth-401"];

#[test]
fn a_turn_in_the_newest_wasmtime_reports_what_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("plugin.wasm");
    fs::write(&component, COMPONENT).unwrap();
    let recordings = RECORDINGS.map(|name| Path::new(TESTS).join("transcripts").join(name));
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--ignore-rust-version"])
        .arg("--manifest-path")
        .arg(Path::new(TESTS).join("next-wasmtime/Cargo.toml"))
        .arg("--")
        .arg(component)
        .args(&recordings)
        .env("CARGO_TARGET_DIR", target_folder())
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let turns: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let recorded = recordings.map(|folder| {
        let lines = fs::read_to_string(folder.join("events.jsonl")).unwrap();
        let events = lines.lines().map(serde_json::from_str::<Value>);
        events.map(Result::unwrap).collect::<Value>()
    });
    assert_eq!(turns, recorded);
}
