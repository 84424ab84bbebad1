//! Who is logged in, and which key a turn would use.

use serde_json::json;

use crate::patient::{LOGGED_IN, LOGGED_OUT, Patient};

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
fn a_key_that_app_server_ignores_is_a_warning_and_what_stays_is_said() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    let mut config = json!({ "binary": patient.codex() });
    patient.configure(&config);
    assert!(!patient.examined(&[]).has("transport"));
    config["transport"] = "app-server".into();
    config["server"] = json!({ "processes": 3, "idle_seconds": 77 });
    patient.configure(&config);
    let (status, summary, _) = patient.examined(&[]).check("transport");
    assert!(
        status == "ok" && summary.contains("at most 3") && summary.contains("77 s"),
        "{summary}"
    );
    let patient = patient.set("CODEX_API_KEY", "planted");
    let report = patient.examined(&[]);
    let (status, summary, remedy) = report.check("transport");
    assert!(
        status == "warning" && summary.contains("codex exec") && remedy.contains("--with-api-key"),
        "{summary} {remedy}"
    );
    assert!(!report.has("api-key"));
}

#[test]
fn codex_own_configuration_is_a_problem_when_it_is_not_toml() {
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
