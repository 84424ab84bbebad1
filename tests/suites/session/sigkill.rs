//! A short run of `sigkill`; `scripts/sigkill.sh` makes the long one.

use std::process::Command;

#[test]
fn no_kill_at_any_moment_loses_the_thread() {
    let output = Command::new(env!("CARGO_BIN_EXE_sigkill"))
        .args([env!("CARGO_BIN_EXE_fake-codex"), "300"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    print!("{}", String::from_utf8_lossy(&output.stdout));
}
