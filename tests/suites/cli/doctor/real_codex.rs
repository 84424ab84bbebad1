//! The same with the real codex.

use std::process::Command;

use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::tool::skip;
use serde_json::json;

use crate::patient::Patient;

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
