//! The codex program: its file, its version, the script of npm, and whether a service finds it.

use std::process::Command;

use plexum_openai_provider_tests::workspace::program;
use serde_json::json;

use crate::patient::{LOGGED_IN, Patient, cache, executable};

/// Where a systemd service looks for programs.
const SYSTEMD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether a systemd service would find a program of this name.
fn is_known_to_services(name: &str) -> bool {
    std::env::split_paths(SYSTEMD_PATH).any(|folder| folder.join(name).is_file())
}

#[test]
fn a_version_out_of_the_tested_range_is_named() {
    for (printed, status, said) in [
        (
            "codex-cli 0.134.9",
            "problem",
            "0.134.9 is too old: 0.135 to 0.169 are supported",
        ),
        ("codex-cli 0.135.0", "ok", "codex 0.135.0"),
        ("codex-cli 0.169.5", "ok", "codex 0.169.5"),
        (
            "codex-cli 0.170.0-alpha.1",
            "warning",
            "0.170.0 is newer than the tested versions",
        ),
        ("codex-cli 1.0.0", "warning", "newer"),
        ("v20.20.2", "problem", "which is not a version of codex"),
        ("", "problem", "prints \"nothing\""),
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
        // Else it would compile the component.
        .env("XDG_CACHE_HOME", cache())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("config.json: the defaults apply"), "{text}");
}

#[test]
fn the_node_script_of_npm_is_reported_with_the_program_behind_it() {
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
    // A service is given the same advice.
    std::os::unix::fs::symlink(&script, node.with_file_name("codex")).unwrap();
    patient.configure(&json!({}));
    let advice = patient.examined(&[]).check("service").2;
    assert!(advice.contains(&format!("{native:?}")), "{advice}");
    let expected = if is_known_to_services("node") {
        "ok"
    } else {
        "warning"
    };
    assert_eq!(report.check("node").0, expected, "{}", report.text);
}

#[test]
fn relative_entries_of_path_are_ignored_and_named() {
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    patient.configure(&json!({}));
    let folder = patient.codex().parent().unwrap().to_owned();
    let path = format!("./node_modules/.bin:{}:/usr/bin:/bin", folder.display());
    let report = patient.set("PATH", path).examined(&[]);
    let (status, summary, remedy) = report.check("codex-path");
    assert!(
        status == "warning" && summary.contains("are ignored") && remedy.contains("`binary`"),
        "{}",
        report.text
    );
    assert!(summary.contains("`./node_modules/.bin`"), "{summary}");
    assert!(report.check("codex").1.contains("found on PATH"));
    assert_eq!(report.code, Some(0));
}
