//! Programs that some tests need and that not every machine has.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::target_dir::target_dir;

/// The `cargo-component` that `scripts/test.sh` installs, or the one on PATH; without one the test
/// `name` is to be skipped.
#[must_use]
pub fn cargo_component(name: &str) -> Option<PathBuf> {
    let installed = target_dir().map(|target| target.join("tools/bin/cargo-component"));
    let found = installed
        .into_iter()
        .chain([PathBuf::from("cargo-component")])
        .find(|path| runs(path.as_os_str()));
    if found.is_none() {
        skip(
            name,
            "cargo-component is not installed; run ./scripts/test.sh, which installs it",
        );
    }
    found
}

/// Node.js, to be told which script of `tests/serve` to run, with the packages that `scripts/test.sh`
/// installs for them; without either the test `name` is to be skipped.
#[must_use]
pub fn serve_client(name: &str) -> Option<Command> {
    let folder = target_dir().map(|target| target.join("tools/serve-client"));
    let installed = folder.filter(|folder| folder.join("installed").is_file());
    let Some(folder) = installed else {
        let reason = "the packages of tests/serve are not installed; run ./scripts/test.sh, which installs them";
        skip(name, reason);
        return None;
    };
    let mut node = Command::new("node");
    let version = node.arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        skip(name, "there is no Node.js on PATH; install it");
        return None;
    }
    let mut node = Command::new("node");
    node.env("NODE_PATH", folder.join("node_modules"));
    Some(node)
}

fn runs(program: &OsStr) -> bool {
    let status = Command::new(program)
        .args(["component", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Says on stderr that the test `name` is skipped.
///
/// # Panics
/// Where skipping is not allowed: with `CI=true` or `PLEXUM_TEST_NO_SKIP=1`.
pub fn skip(name: &str, reason: &str) {
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|set| set == value);
    assert!(
        !is("CI", "true") && !is("PLEXUM_TEST_NO_SKIP", "1"),
        "{name} must not be skipped here: {reason}"
    );
    // Unlike eprintln, this is seen without --nocapture too.
    writeln!(io::stderr(), "SKIPPED: {name}: {reason}").expect("stderr can be written");
}
