//! A user whose installation is examined.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plexum_openai_provider_tests::json_schema::violations;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};
use tempfile::TempDir;

const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host-shim/schemas/doctor.schema.json"
);

/// What a codex does that is logged in.
pub const LOGGED_IN: &str = "echo 'Logged in using ChatGPT' >&2";

/// What one does that is not.
pub const LOGGED_OUT: &str = "echo 'Not logged in' >&2; exit 1";

/// A user with a home, a workspace and a codex of their own.
pub struct Patient {
    pub home: TempDir,
    pub workspace: Workspace,
    pub variables: BTreeMap<String, String>,
}

/// What the program said.
pub struct Report {
    pub json: Value,
    pub text: String,
    pub code: Option<i32>,
}

impl Report {
    /// The status, summary and remedy of a check.
    pub fn check(&self, id: &str) -> (String, String, String) {
        let checks = self.json["checks"].as_array().unwrap();
        let found: Vec<_> = checks.iter().filter(|check| check["id"] == id).collect();
        assert_eq!(found.len(), 1, "{id} in {}", self.text);
        let text = |key: &str| found[0][key].as_str().unwrap_or_default().to_owned();
        (text("status"), text("summary"), text("remedy"))
    }

    pub fn has(&self, id: &str) -> bool {
        let checks = self.json["checks"].as_array().unwrap();
        checks.iter().any(|check| check["id"] == id)
    }
}

impl Patient {
    /// One whose codex prints this version and does this when it is asked for its login.
    pub fn with_codex(version: &str, login: &str) -> Self {
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
        // Else each examination would compile the component.
        patient.set("XDG_CACHE_HOME", cache())
    }

    pub fn codex(&self) -> PathBuf {
        self.workspace.outside("codex")
    }

    pub fn configure(&self, config: &Value) {
        self.workspace.configure(config).unwrap();
    }

    pub fn set(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.variables.insert(name.to_owned(), value);
        self
    }

    /// Examines them, twice: for a program and for a person.
    pub fn examined(&self, args: &[&str]) -> Report {
        self.report(args, true, |_| ())
    }

    /// Examines them once, with a program to which this was done.
    pub fn examined_under(&self, restrict: impl Fn(&mut Command)) -> Report {
        self.report(&[], false, restrict)
    }

    fn report(&self, args: &[&str], twice: bool, restrict: impl Fn(&mut Command)) -> Report {
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
            restrict(&mut doctor);
            doctor.output().unwrap()
        };
        let json = run(&["--json"]);
        // For a person, it is the same in other words.
        let text = if twice { run(&[]) } else { json.clone() };
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

/// Where machine code may be kept, which is in no folder for temporary files.
pub fn cache() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    if target.starts_with("/tmp") || target.starts_with(std::env::temp_dir()) {
        let home = std::env::home_dir().unwrap();
        return home.join(".cache/plexum-openai-provider-tests");
    }
    target.join("cache")
}

pub fn executable(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}
