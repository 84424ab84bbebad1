//! A short run of `chaos`; `scripts/chaos.sh` makes the long one.

use std::process::Command;

use plexum_openai_provider_tests::hostile;
use plexum_openai_provider_tests::workspace::program;

#[test]
fn turns_with_every_fault_end_once_and_leave_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .arg(program())
        .arg(env!("CARGO_BIN_EXE_fake-codex"))
        .arg(hostile::component())
        .args(["100", "20"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    print!("{}", String::from_utf8_lossy(&output.stdout));
}
