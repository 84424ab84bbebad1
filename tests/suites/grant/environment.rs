//! What codex gets of the environment, and what is never shown of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};

const SECRETS: [(&str, &str); 3] = [
    ("ANTHROPIC_API_KEY", "planted-one"),
    ("OPENAI_API_KEY", "planted-two"),
    ("MY_TOKEN", "planted-three"),
];

fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

/// The names that codex got with this `env` in the configuration.
fn names(workspace: &Workspace, env: &Value) -> Vec<String> {
    workspace
        .configure(&json!({ "binary": fake_codex(), "env": env }))
        .unwrap();
    let output = workspace
        .say(["hello"])
        .envs(SECRETS)
        .env("CODEX_HOME", "/nowhere")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    workspace.calls().unwrap().pop().unwrap().env
}

#[test]
fn codex_gets_what_it_needs_and_no_other_keys() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let has = |names: &[String], name: &str| names.iter().any(|held| held == name);
    let usual = names(&workspace, &json!([]));
    assert!(
        has(&usual, "PATH") && has(&usual, "CODEX_HOME") && has(&usual, "OPENAI_API_KEY"),
        "{usual:?}"
    );
    assert!(
        !has(&usual, "ANTHROPIC_API_KEY") && !has(&usual, "MY_TOKEN"),
        "{usual:?}"
    );
    // Cargo's own variables are there in a test, so this would see an environment that leaks.
    assert!(
        !usual.iter().any(|name| name.starts_with("CARGO")),
        "{usual:?}"
    );
    let some = names(&workspace, &json!(["MY_*", "!OPENAI_API_KEY"]));
    assert!(
        has(&some, "MY_TOKEN") && !has(&some, "OPENAI_API_KEY") && !has(&some, "ANTHROPIC_API_KEY"),
        "{some:?}"
    );
    let all = names(&workspace, &json!(["*"]));
    assert!(has(&all, "ANTHROPIC_API_KEY"), "{all:?}");
}

#[test]
fn values_are_in_no_output_and_no_record() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    workspace
        .configure(&json!({ "binary": fake_codex(), "env": ["*"] }))
        .unwrap();
    let record = workspace.outside("record.jsonl");
    let mut say = workspace.say(["--json", "--verbose", "a private prompt"]);
    say.arg("--record")
        .arg(&record)
        .env("PLEXUM_LOG", "trace")
        .envs(SECRETS);
    let output = say.output().unwrap();
    assert!(output.status.success());
    let record = std::fs::read_to_string(record).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    for (name, value) in SECRETS {
        assert!(
            !format!("{stdout}{stderr}{record}").contains(value),
            "the value of {name} is shown"
        );
        assert!(record.contains(name), "the name {name} is recorded");
    }
    assert!(!record.contains("a private prompt"), "{record}");
}

#[test]
fn the_record_shows_what_was_allowed_and_how_it_ended() {
    use std::os::unix::fs::PermissionsExt;
    let workspace = Workspace::new(fake_codex()).unwrap();
    let path = workspace.outside("record.jsonl");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    for _ in 0..2 {
        workspace
            .say(["hello".as_ref(), "--record".as_ref(), path.as_os_str()])
            .output()
            .unwrap();
    }
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["allowed", "ended", "allowed", "ended"]);
    for line in &lines {
        assert_eq!(line["component_sha256"].as_str().unwrap().len(), 64);
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(lines[0]["pid"], lines[1]["pid"]);
    assert!(
        lines[0]["argv"]
            .as_str()
            .unwrap()
            .ends_with("-- <prompt of 5 bytes>"),
        "{text}"
    );
    assert_eq!(lines[1]["status"], "exit status: 0");
    assert!(lines[1]["stdout_bytes"].as_u64().unwrap() > 100 && lines[1]["milliseconds"].is_u64());
    // A record that cannot be kept stops the turn before it begins.
    let output = workspace
        .say(["hello", "--record", "/nowhere/record"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(workspace.calls().unwrap().len(), 2);
}

#[test]
fn another_component_than_the_pinned_one_is_refused() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let digest = |bytes: &[u8]| {
        let file = workspace.outside("bytes");
        std::fs::write(&file, bytes).unwrap();
        let output = Command::new("sha256sum").arg(&file).output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    for (pinned, code) in [
        (digest(plexum_openai_provider::COMPONENT), Some(0)),
        (digest(b"another"), Some(2)),
    ] {
        workspace
            .configure(&json!({ "binary": fake_codex(), "component_sha256": pinned }))
            .unwrap();
        let output = workspace.say(["hello"]).output().unwrap();
        assert_eq!(
            output.status.code(),
            code,
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(code == Some(0) || String::from_utf8_lossy(&output.stderr).contains(&pinned));
    }
}

#[test]
fn what_every_user_may_change_is_not_run_unless_that_is_allowed() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let workspace = Workspace::new(fake_codex()).unwrap();
    let folder = workspace.outside("programs");
    std::fs::create_dir(&folder).unwrap();
    let codex = folder.join("codex");
    std::fs::copy(fake_codex(), &codex).unwrap();
    workspace.configure(&json!({ "binary": codex })).unwrap();
    let config = workspace.config();
    let run = |command: &str, allow: bool| {
        let mut run = match command {
            "say" => workspace.say(["hello"]),
            _ => Command::new(program()),
        };
        if command == "serve" {
            run.args(["serve", "--config"]).arg(&config);
        }
        run.args(allow.then_some("--allow-writable"));
        let output = run.stdin(Stdio::null()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for command in ["say", "serve"] {
        assert_eq!(run(command, false), (Some(0), String::new()));
        for (path, open, shut) in [
            (&config, 0o666, 0o644),
            (&codex, 0o777, 0o755),
            (&folder, 0o777, 0o755),
        ] {
            mode(path, open);
            let (code, told) = run(command, false);
            let shown = path.to_str().unwrap();
            let named = told.contains(shown) && told.contains("--allow-writable");
            assert!(code == Some(2) && named, "{command}: {told}");
            let (code, told) = run(command, true);
            let warned = told.starts_with("warning: ") && told.contains(shown);
            assert!(code == Some(0) && warned, "{command}: {told}");
            // A group is warned of each time.
            mode(path, (open & 0o770) | 0o005);
            let (code, told) = run(command, false);
            let warned = told.starts_with("warning: its group") && told.contains(shown);
            assert!(code == Some(0) && warned, "{command}: {told}");
            mode(path, shut);
        }
    }
}
