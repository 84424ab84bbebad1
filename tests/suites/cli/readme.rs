//! What the README says to run is run, in the order in which it stands there, with a home of its own; and what it shows
//! of a configuration is one. Its Rust is compiled as documentation tests of the crate.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plexum_openai_provider::Config;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::workspace::program;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The blocks of this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let mut found = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if let Some(named) = line.trim_start().strip_prefix("```") {
            let block: Vec<&str> = lines
                .by_ref()
                .take_while(|line| line.trim() != "```")
                .collect();
            if named == language {
                found.push(block.join("\n"));
            }
        }
    }
    assert!(!found.is_empty(), "the README has no {language}");
    found
}

/// The command as it is run here. None for those that run all tests, this one too, and the try-out, which has a release
/// built.
fn adapted(line: &str) -> Option<String> {
    let command = line.split(" #").next().unwrap_or_default().trim_end();
    match command {
        "./scripts/try.sh" | "./scripts/test.sh" => None,
        // With a program that is there, instead of one that is built.
        "./scripts/install.sh" | "./scripts/install.sh --dry-run" => {
            Some(format!("{command} --program \"$PROGRAM\""))
        }
        _ => Some(line.to_owned()),
    }
}

#[test]
fn its_commands_work() {
    let test = "its_commands_work";
    let (Some(node), Some(_)) = (tool::node(test), tool::python(test)) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let real_home = PathBuf::from(env::var_os("HOME").unwrap());
    let or_below = |variable: &str, name: &str| {
        env::var_os(variable).map_or_else(|| real_home.join(name), PathBuf::from)
    };
    let mut path = vec![node.parent().unwrap().to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let script: Vec<String> = blocks("sh")
        .iter()
        .map(|block| {
            let lines: Vec<String> = block.lines().filter_map(adapted).collect();
            lines.join("\n")
        })
        .collect();
    let output = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", &script.join("\n")])
        .current_dir(ROOT)
        .env("HOME", home.path())
        .env("CARGO_HOME", or_below("CARGO_HOME", ".cargo"))
        .env("RUSTUP_HOME", or_below("RUSTUP_HOME", ".rustup"))
        .env("PATH", env::join_paths(path).unwrap())
        .env("PROGRAM", program())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn its_configuration_is_one() {
    for block in blocks("json") {
        Config::parse("README.md".as_ref(), &block).unwrap();
    }
}
