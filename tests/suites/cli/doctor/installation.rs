//! The configuration, the component, the workspace, and all of it together.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use plexum_openai_provider::SESSION_FILE;
use plexum_openai_provider_tests::workspace::program;
use serde_json::json;

use crate::patient::{LOGGED_IN, Patient};

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
    // Its version: plainly, as a service and as a turn.
    let versions = "--version\n".repeat(3);
    assert_eq!(calls, format!("{versions}login status\n").repeat(2));
    let environment = std::fs::read_to_string(patient.codex().with_extension("env")).unwrap();
    assert!(environment.contains("OPENAI_API_KEY=") && !environment.contains("ANTHROPIC"));
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
fn what_is_wrong_with_a_session_is_reported() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    let path = |name: &str| patient.workspace.path().join(name);
    std::fs::write(path(SESSION_FILE), "not a thread id").unwrap();
    std::fs::write(path(".plexum-codex-session.tmp"), "").unwrap();
    let report = patient.examined(&[]);
    let (status, _, remedy) = report.check("session");
    assert!(
        status == "problem" && remedy.contains("session reset"),
        "{remedy}"
    );
    assert_eq!(report.check("session-leftover").0, "warning");
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
