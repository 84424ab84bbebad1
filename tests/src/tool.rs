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
