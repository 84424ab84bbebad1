//! The examples of `host-shim/examples` in Rust, run as their heads say. Those in other languages: `jco.rs`, `python.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plexum_openai_provider::SESSION_FILE;
use plexum_openai_provider_tests::workspace::{cache_home, cargo_build};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A home with a configuration, and folders in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let folder = home.path().join(".plexum/plugins/plexum-openai-provider");
        fs::create_dir_all(&folder).unwrap();
        let config = json!({ "binary": env!("CARGO_BIN_EXE_fake-codex") });
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        Home(home)
    }

    fn workspace(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// What the example printed.
    fn run(&self, name: &str, args: &[&str]) -> (String, String) {
        let example = cargo_build().example(name).run().unwrap();
        let output = Command::new(example.path())
            .args(args)
            .env("HOME", self.0.path())
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn embed() {
    let home = Home::new();
    let (stdout, stderr) = home.run("embed", &[text(&home.workspace("w")), "hello"]);
    assert_eq!(stdout, "echo: hello\n");
    assert!(stderr.contains("tokens in"), "{stderr}");
}

#[test]
fn session_store() {
    let home = Home::new();
    let workspace = home.workspace("w");
    let (stdout, _) = home.run("session_store", &[text(&workspace), "one", "two"]);
    let lines: Vec<&str> = stdout.lines().collect();
    let id = lines[0].strip_suffix(" (new)").unwrap();
    let expected = [
        format!("{id} (new)"),
        "echo: one".into(),
        format!("{id} (resumed)"),
        "echo: two".into(),
        format!("kept: {id}"),
    ];
    assert_eq!(lines, expected);
    assert!(!workspace.join(SESSION_FILE).exists());
}

#[test]
fn many_agents() {
    let home = Home::new();
    let workspaces: Vec<PathBuf> = (0..20).map(|n| home.workspace(&n.to_string())).collect();
    let mut args = vec!["hello"];
    args.extend(workspaces.iter().map(|path| text(path)));
    let (stdout, _) = home.run("many_agents", &args);
    for workspace in &workspaces {
        let line = format!("{}: echo: hello\n", workspace.display());
        assert!(stdout.contains(&line), "{line}{stdout}");
    }
    let metrics: Value = serde_json::from_str(&stdout[stdout.find('{').unwrap()..]).unwrap();
    assert_eq!(metrics["turns_completed"], 20);
}

#[test]
fn own_store() {
    let home = Home::new();
    let workspace = home.workspace("w");
    let (stdout, stderr) = home.run("own_store", &[text(&workspace), "hello"]);
    let events: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let types: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let expected = ["message_start", "text_delta", "message_end"];
    assert_eq!(types, expected);
    assert_eq!(stderr, "3 events, turns completed: 1\n");
    let kept = fs::read_to_string(workspace.join(SESSION_FILE)).unwrap();
    assert_eq!(events[0]["thread_id"], kept);
}
