//! `scripts/release.sh`, without its builds, which take minutes: a script stands in for the program of each archive.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

mod crates;
mod debian;
mod files;
mod package;
mod registry;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::workspace::program;
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const NAME: &str = "plexum-openai-provider";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const TARGET: &str = "x86_64-unknown-linux-musl";

/// Makes the files of a release in the folder `files` of a new one; None when a tool is missing.
fn release(options: &[&str]) -> Option<TempDir> {
    let test = tool::current_test();
    tool::auditable2cdx(&test)?;
    tool::wkg(&test)?;
    let folder = tempfile::tempdir().unwrap();
    let stand_in = folder.path().join("stand-in");
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", program().display());
    std::fs::write(&stand_in, script).unwrap();
    std::fs::set_permissions(&stand_in, PermissionsExt::from_mode(0o700)).unwrap();
    run(Command::new("scripts/release.sh")
        .args(["--target", TARGET, "--program"])
        .arg(&stand_in)
        .arg("--out")
        .arg(folder.path().join("files"))
        .args(options)
        .current_dir(ROOT)
        .env("TMPDIR", folder.path()));
    Some(folder)
}

/// What a command prints, which must succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines that `find` prints of a folder, sorted.
fn found(folder: &Path, format: &str) -> Vec<String> {
    let mut find = Command::new("find");
    find.current_dir(folder)
        .args([".", "-type", "f", "-printf"]);
    let printed = run(find.arg(format!("{format}\n")));
    let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
