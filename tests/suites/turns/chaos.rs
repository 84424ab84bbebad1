//! Short runs of `chaos`; `scripts/chaos.sh` makes the long ones.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::PathBuf;
use std::process::Command;

use plexum_openai_provider_tests::hostile;
use plexum_openai_provider_tests::workspace::program;

fn run(transport: &str, component: Option<&PathBuf>, [turns, at_once]: [&str; 2]) {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .arg(transport)
        .arg(program())
        .arg(env!("CARGO_BIN_EXE_fake-codex"))
        .args(component)
        .args([turns, at_once])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn turns_with_every_fault_end_once_and_leave_nothing() {
    run("exec", Some(hostile::component()), ["100", "20"]);
}

#[test]
fn so_do_turns_of_a_codex_that_stays() {
    run("app-server", None, ["200", "16"]);
}
