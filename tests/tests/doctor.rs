//! The `doctor` command, as an operator uses it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plexum_openai_provider::{LOCK_FILE, SESSION_FILE};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::json_schema::violations;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::tool::skip;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};
use tempfile::TempDir;

const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host-shim/schemas/doctor.schema.json"
);

/// Where a systemd service looks for programs.
const SYSTEMD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const LOGGED_IN: &str = "echo 'Logged in using ChatGPT' >&2";
const LOGGED_OUT: &str = "echo 'Not logged in' >&2; exit 1";

/// A user with a home, a workspace and a codex of their own.
struct Patient {
    home: TempDir,
    workspace: Workspace,
    variables: BTreeMap<String, String>,
}

/// What the program said.
struct Report {
    json: Value,
    text: String,
    code: Option<i32>,
}

impl Report {
    /// The status, summary and remedy of a check.
    fn check(&self, id: &str) -> (String, String, String) {
        let checks = self.json["checks"].as_array().unwrap();
        let found: Vec<_> = checks.iter().filter(|check| check["id"] == id).collect();
        assert_eq!(found.len(), 1, "{id} in {}", self.text);
        let text = |key: &str| found[0][key].as_str().unwrap_or_default().to_owned();
        (text("status"), text("summary"), text("remedy"))
    }

    fn has(&self, id: &str) -> bool {
        let checks = self.json["checks"].as_array().unwrap();
        checks.iter().any(|check| check["id"] == id)
    }
}

impl Patient {
    /// One whose codex prints this version and does this when it is asked for its login.
    fn with_codex(version: &str, login: &str) -> Self {
        let patient = Patient {
            home: tempfile::tempdir().unwrap(),
            workspace: Workspace::new(Path::new("/nowhere")).unwrap(),
            variables: BTreeMap::new(),
        };
        // `cat` and the folder's trace show that nothing waits to be read, and what is asked for.
        let script = format!(
            "#!/bin/sh\ncat\necho \"$@\" >> \"$0.calls\"\nenv > \"$0.env\"\ncase $1 in\n  --version) echo '{version}' ;;\n  login) {login} ;;\nesac\n"
        );
        executable(&patient.codex(), &script);
        patient.configure(&json!({ "binary": patient.codex() }));
        patient
    }

    fn codex(&self) -> PathBuf {
        self.workspace.outside("codex")
    }

    fn configure(&self, config: &Value) {
        self.workspace.configure(config).unwrap();
    }

    fn set(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.variables.insert(name.to_owned(), value);
        self
    }

    /// Examines them, twice: for a program and for a person.
    fn examined(&self, args: &[&str]) -> Report {
        let run = |format: &[&str]| {
            let mut doctor = Command::new(program());
            doctor
                .arg("doctor")
                .arg("--workspace")
                .arg(self.workspace.path())
                .arg("--config")
                .arg(self.workspace.config())
                .args(args)
                .args(format)
                .env_clear()
                .env("HOME", self.home.path())
                .env("PATH", "/usr/bin:/bin")
                .envs(&self.variables);
            doctor.output().unwrap()
        };
        let (json, text) = (run(&["--json"]), run(&[]));
        assert_eq!(json.status, text.status);
        let schema: Value =
            serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
        let value: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(violations(&value, &schema), [] as [String; 0], "{value}");
        let text = String::from_utf8(text.stdout).unwrap();
        for said in [&text, &value.to_string()] {
            assert!(!said.contains("planted"), "{said}");
        }
        Report {
            code: json.status.code(),
            json: value,
            text,
        }
    }
}

fn executable(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Whether a systemd service would find a program of this name.
fn is_known_to_services(name: &str) -> bool {
    std::env::split_paths(SYSTEMD_PATH).any(|folder| folder.join(name).is_file())
}

#[test]
fn where_all_is_well_every_line_says_so() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN)
        .set("OPENAI_API_KEY", "sk-planted")
        .set("ANTHROPIC_API_KEY", "sk-planted-too");
    let report = patient.examined(&[]);
    assert_eq!(report.code, Some(0), "{}", report.text);
    for line in report.text.lines() {
        // Who may write to the folders above a temporary one is the tester's business.
        let permissions = line.contains("-permissions") || line.starts_with("         ");
        assert!(
            line.starts_with("ok       ") || permissions || line.contains(" to repair"),
            "{}",
            report.text
        );
    }
    assert_eq!(report.check("login").1, "logged in with ChatGPT");
    assert!(!report.has("turn") && !report.has("api-key"));
    // Nothing was asked but what has to be, and with the variables of a turn.
    let calls = std::fs::read_to_string(patient.codex().with_extension("calls")).unwrap();
    assert_eq!(calls, "--version\nlogin status\n".repeat(2));
    let environment = std::fs::read_to_string(patient.codex().with_extension("env")).unwrap();
    assert!(environment.contains("OPENAI_API_KEY=") && !environment.contains("ANTHROPIC"));
}

#[test]
fn a_version_out_of_the_tested_range_is_named() {
    for (printed, status, said) in [
        (
            "codex-cli 0.134.9",
            "problem",
            "0.134.9 is too old: supported are 0.135 to 0.169",
        ),
        ("codex-cli 0.135.0", "ok", "codex 0.135.0"),
        ("codex-cli 0.169.5", "ok", "codex 0.169.5"),
        (
            "codex-cli 0.170.0-alpha.1",
            "warning",
            "0.170.0 is newer than what was tested",
        ),
        ("codex-cli 1.0.0", "warning", "newer"),
        ("v20.20.2", "problem", "which no codex does"),
        ("", "problem", "says \"nothing\""),
    ] {
        let report = Patient::with_codex(printed, LOGGED_IN).examined(&[]);
        let (found, summary, remedy) = report.check("codex-version");
        assert!(
            found == status && summary.contains(said),
            "{printed}: {}",
            report.text
        );
        assert_eq!(
            remedy.contains("npm install"),
            status != "ok",
            "{printed}: {remedy}"
        );
        assert_eq!(
            report.code,
            Some(i32::from(status == "problem")),
            "{printed}"
        );
    }
}

#[test]
fn a_codex_that_cannot_be_found_or_started_is_a_problem() {
    let patient = Patient::with_codex("", LOGGED_IN);
    patient.configure(&json!({ "binary": "/nowhere/codex" }));
    let report = patient.examined(&[]);
    let (status, summary, remedy) = report.check("codex");
    assert!(
        status == "problem" && summary.contains("/nowhere/codex"),
        "{}",
        report.text
    );
    assert!(remedy.contains("npm install"), "{remedy}");
    assert_eq!(report.code, Some(1));

    let broken = patient.workspace.outside("broken");
    executable(&broken, "#!/nowhere/sh\n");
    patient.configure(&json!({ "binary": broken }));
    let report = patient.examined(&[]);
    let (status, summary, _) = report.check("codex-version");
    assert!(
        status == "problem" && summary.contains("cannot be started"),
        "{}",
        report.text
    );
}

#[test]
fn the_login_is_judged_by_what_a_turn_will_use() {
    const KEY: &str = "sk-planted";
    const MOCK: &str = "model_provider = \"mock\"\n[model_providers.mock]\n";
    const KEYED: &str =
        "model_provider = \"mock\"\n[model_providers.mock]\nenv_key = \"MOCK_KEY\"\n";
    let api_key = "echo 'Logged in using an API key - sk-planted***' >&2";
    let broken = "echo 'Error loading config.toml' >&2; exit 1";
    for (login, variables, toml, status, said, remedy) in [
        (LOGGED_IN, &[] as &[&str], "", "ok", "ChatGPT", ""),
        (api_key, &[], "", "ok", "an API key", ""),
        (
            LOGGED_OUT,
            &[],
            "",
            "problem",
            "not logged in",
            "run `codex login`",
        ),
        (
            LOGGED_OUT,
            &["OPENAI_API_KEY"],
            "",
            "problem",
            "OPENAI_API_KEY is set",
            "codex login --with-api-key",
        ),
        (
            LOGGED_OUT,
            &["CODEX_API_KEY"],
            "",
            "warning",
            "CODEX_API_KEY",
            "unset it",
        ),
        (
            LOGGED_OUT,
            &[],
            MOCK,
            "warning",
            "the provider \"mock\"",
            "codex login",
        ),
        (
            LOGGED_OUT,
            &["MOCK_KEY"],
            KEYED,
            "warning",
            "the provider \"mock\"",
            "codex login",
        ),
        (
            broken,
            &[],
            "",
            "problem",
            "Error loading config.toml",
            "by hand",
        ),
    ] {
        let mut patient = Patient::with_codex("codex-cli 0.169.0", login);
        for name in variables {
            patient = patient.set(name, KEY);
        }
        let codex_home = patient.home.path().join(".codex");
        std::fs::create_dir(&codex_home).unwrap();
        std::fs::write(codex_home.join("config.toml"), toml).unwrap();
        let report = patient.examined(&[]);
        let (found, summary, found_remedy) = report.check("login");
        assert!(
            found == status && summary.contains(said) && found_remedy.contains(remedy),
            "{login} {variables:?} {toml}\n{}",
            report.text
        );
        assert_eq!(report.has("api-key"), variables.contains(&"CODEX_API_KEY"));
        assert_eq!(report.has("provider-key"), toml == KEYED);
        if toml == KEYED {
            // Set, and not among the variables that codex gets.
            let (status, _, remedy) = report.check("provider-key");
            assert!(
                status == "problem" && remedy.contains("\"env\": [\"MOCK_KEY\"]"),
                "{remedy}"
            );
            patient.configure(&json!({ "binary": patient.codex(), "env": ["MOCK_KEY"] }));
            assert_eq!(patient.examined(&[]).check("provider-key").0, "ok");
        }
    }
}

#[test]
fn a_key_that_overrides_the_login_is_a_warning_unless_codex_does_not_get_it() {
    let patient =
        Patient::with_codex("codex-cli 0.169.0", LOGGED_IN).set("CODEX_API_KEY", "planted");
    let report = patient.examined(&[]);
    let (status, summary, remedy) = report.check("api-key");
    assert!(
        status == "warning" && summary.contains("instead of a stored login"),
        "{summary}"
    );
    assert!(remedy.contains("!CODEX_API_KEY"), "{remedy}");
    assert_eq!(report.code, Some(0));
    patient.configure(&json!({ "binary": patient.codex(), "env": ["!CODEX_API_KEY"] }));
    assert!(!patient.examined(&[]).has("api-key"));
}

#[test]
fn codex_own_configuration_is_a_problem_when_it_is_no_toml() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    let codex_home = patient.home.path().join("elsewhere");
    let patient = patient.set("CODEX_HOME", &codex_home);
    let (status, _, remedy) = patient.examined(&[]).check("codex-home");
    assert!(
        status == "problem" && remedy.contains("mkdir -p"),
        "{remedy}"
    );
    std::fs::create_dir(&codex_home).unwrap();
    std::fs::write(codex_home.join("config.toml"), "model_provider = ").unwrap();
    let report = patient.examined(&[]);
    assert_eq!(report.check("codex-home").0, "ok");
    assert_eq!(report.check("codex-config").0, "problem");
}

#[test]
fn every_mistake_of_the_configuration_is_said_at_once_and_codex_is_left_alone() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    patient.configure(&json!({ "binary": 7, "prompt": "stdn", "limits": { "turn_seconds": 0 } }));
    let report = patient.examined(&[]);
    let (status, summary, remedy) = report.check("config");
    assert_eq!((status.as_str(), report.code), ("problem", Some(1)));
    assert!(
        summary.contains("has 3 mistakes") && remedy.contains("correct the file"),
        "{summary}"
    );
    for said in [
        "`binary`: expected a string",
        "did you mean `stdin`?",
        "`limits.turn_seconds`",
    ] {
        assert!(
            summary.contains(said) && report.text.contains(said),
            "{}",
            report.text
        );
    }
    assert!(!report.has("codex") && !patient.codex().with_extension("calls").exists());
    assert!(report.has("workspace") && report.has("session"));
}

#[test]
fn without_a_configuration_the_defaults_hold_and_a_service_may_miss_codex() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    let folder = patient.codex().parent().unwrap().to_owned();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let patient = patient.set("PATH", path);
    patient.configure(&json!({}));
    let report = patient.examined(&[]);
    let (status, summary, remedy) = report.check("service");
    assert_eq!(status, "warning", "{}", report.text);
    if !is_known_to_services("codex") {
        assert!(summary.contains(SYSTEMD_PATH), "{summary}");
    }
    assert!(
        remedy.contains(&format!("\"binary\": {:?}", patient.codex())),
        "{remedy}"
    );
    assert!(report.check("codex").1.contains("found on PATH"));

    let output = Command::new(program())
        .args(["doctor", "--workspace"])
        .arg(patient.workspace.path())
        .env_clear()
        .env("HOME", patient.home.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("config.json: the defaults hold"), "{text}");
}

#[test]
fn the_node_script_of_npm_is_told_with_the_program_behind_it() {
    let patient = Patient::with_codex("codex-cli 0.150.0", LOGGED_IN);
    let packages = patient.workspace.outside("node_modules/@openai");
    let script = packages.join("codex/bin/codex.js");
    executable(&script, "#!/usr/bin/env node\n");
    // A node that runs the fake codex whatever script it is given.
    let node = patient.workspace.outside("bin/node");
    executable(
        &node,
        &format!(
            "#!/bin/sh\nshift\nexec {} \"$@\"\n",
            patient.codex().display()
        ),
    );
    let path = format!("{}:/usr/bin:/bin", node.parent().unwrap().display());
    let patient = patient.set("PATH", path);
    patient.configure(&json!({ "binary": script }));

    let report = patient.examined(&[]);
    assert_eq!(report.check("codex-version").0, "ok", "{}", report.text);
    let (status, summary, remedy) = report.check("codex-wrapper");
    assert!(
        status == "warning" && summary.contains("was not found"),
        "{summary}"
    );
    assert!(remedy.contains("optional packages"), "{remedy}");

    let short = if cfg!(target_arch = "x86_64") {
        "x64"
    } else {
        "arm64"
    };
    let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let native = packages.join(format!("codex-linux-{short}/vendor/{triple}/bin/codex"));
    executable(&native, "");
    let report = patient.examined(&[]);
    let (status, summary, remedy) = report.check("codex-wrapper");
    assert!(
        status == "warning" && summary.contains("80 ms a turn"),
        "{summary}"
    );
    assert!(
        summary.contains("leaves codex and its tools running"),
        "{summary}"
    );
    let native = native.canonicalize().unwrap();
    assert!(
        remedy.contains(&format!("\"binary\": {native:?}")),
        "{remedy}"
    );
    let expected = if is_known_to_services("node") {
        "ok"
    } else {
        "warning"
    };
    assert_eq!(report.check("node").0, expected, "{}", report.text);
}

#[test]
fn a_workspace_that_cannot_be_used_is_a_problem() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    let gone = patient.workspace.outside("gone");
    let output = Command::new(program())
        .args(["doctor", "--workspace"])
        .arg(&gone)
        .arg("--config")
        .arg(patient.workspace.config())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let problem = format!("problem  workspace: {} cannot be used", gone.display());
    assert!(
        text.contains(&problem) && text.contains("mkdir -p"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_wrong_with_a_session_is_told() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    let path = |name: &str| patient.workspace.path().join(name);
    std::fs::write(path(SESSION_FILE), "not a thread id").unwrap();
    std::fs::write(path(".plexum-codex-session.tmp"), "").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path(LOCK_FILE)).unwrap();
    let report = patient.examined(&[]);
    let (status, _, remedy) = report.check("session");
    assert!(
        status == "problem" && remedy.contains("session reset"),
        "{remedy}"
    );
    assert_eq!(report.check("session-leftover").0, "warning");
    assert_eq!(report.check("session-links").0, "problem");
    assert_eq!(report.check("lock").0, "problem");
    assert_eq!(report.code, Some(1));
}

#[test]
fn files_that_others_may_change_are_a_warning() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    for path in [patient.codex(), patient.workspace.config()] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let report = patient.examined(&[]);
    for (id, path) in [
        ("codex-permissions", patient.codex()),
        ("config-permissions", patient.workspace.config()),
    ] {
        let (status, summary, _) = report.check(id);
        let expected = format!("everybody may change {}", path.display());
        assert!(
            status == "warning" && summary.contains(&expected),
            "{}",
            report.text
        );
        assert!(summary.contains("chmod go-w"), "{summary}");
    }
    assert_eq!(report.code, Some(0));
}

#[test]
fn another_component_than_the_pinned_one_is_a_problem() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    patient.configure(&json!({ "binary": patient.codex(), "component_sha256": "0".repeat(64) }));
    let report = patient.examined(&[]);
    assert_eq!(report.check("component").0, "problem");
    assert_eq!(
        (report.check("world").0.as_str(), report.code),
        ("ok", Some(1))
    );
}

#[test]
fn a_turn_that_fails_is_a_problem_and_touches_no_workspace() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    let report = patient.examined(&["--turn"]);
    let (status, summary, _) = report.check("turn");
    assert!(
        status == "problem" && summary.contains("failed after"),
        "{}",
        report.text
    );
    assert_eq!(report.code, Some(1));
    let left = std::fs::read_dir(patient.workspace.path()).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_real_codex_without_a_login_is_told_to_log_in() {
    for codex in real_codex!() {
        let patient = Patient::with_codex("", "");
        patient.configure(&json!({ "binary": codex.path }));
        let home = patient.home.path().to_owned();
        let patient = patient.set("CODEX_HOME", home);
        let report = patient.examined(&[]);
        assert_eq!(
            report.check("codex-version"),
            (
                "ok".into(),
                format!("codex {}, of 0.135 to 0.169", codex.version),
                String::new(),
            )
        );
        assert_eq!(report.check("codex-wrapper").0, "ok");
        let (status, summary, remedy) = report.check("login");
        assert_eq!(
            (status.as_str(), summary.as_str()),
            ("problem", "not logged in")
        );
        assert!(remedy.contains("codex login"), "{remedy}");
        assert_eq!(report.code, Some(1));
    }
}

#[test]
fn a_real_turn_says_its_time_and_its_tokens() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let patient = Patient::with_codex("", "").set("CODEX_HOME", agent.home.path());
        patient.configure(&json!({ "binary": codex.path }));
        let report = patient.examined(&["--turn"]);
        let (status, summary, _) = report.check("turn");
        assert_eq!(status, "ok", "{}: {}", codex.version, report.text);
        assert!(
            summary.starts_with("completed in ") && summary.contains("1200 tokens read"),
            "{summary}"
        );
        // The model is somebody else's, so nobody has to be logged in.
        assert_eq!(report.check("login").0, "warning");
        assert_eq!(report.code, Some(0), "{}", report.text);
    }
}

#[test]
fn the_real_script_of_npm_leads_to_the_real_program() {
    let name = "the_real_script_of_npm_leads_to_the_real_program";
    let runs_node = Command::new("node").arg("--version").output();
    if !runs_node.is_ok_and(|output| output.status.success()) {
        return skip(name, "there is no node");
    }
    for codex in real_codex!() {
        let mut folders = codex.path.ancestors();
        let Some(modules) = folders.find(|folder| folder.ends_with("node_modules")) else {
            skip(name, "this codex was not installed by npm");
            continue;
        };
        let patient = Patient::with_codex("", "").set("PATH", std::env::var_os("PATH").unwrap());
        patient.configure(&json!({ "binary": modules.join(".bin/codex") }));
        let report = patient.examined(&[]);
        assert_eq!(report.check("codex-version").0, "ok", "{}", report.text);
        let (status, summary, remedy) = report.check("codex-wrapper");
        assert_eq!(status, "warning");
        let native = codex.path.canonicalize().unwrap();
        assert!(remedy.contains(native.to_str().unwrap()), "{remedy}");
        assert_eq!(
            summary.contains("leaves codex"),
            codex.version != "0.169.0",
            "{summary}"
        );
    }
}
