//! The operator's file.

use std::path::Path;

use super::Check;
use crate::config::{Config, ConfigError, default_path};
use crate::grant::permission::changeable_by_others;

const ID: &str = "config";

/// The configuration, if it can be used, and what is said of its file.
pub fn read(path: Option<&Path>) -> (Option<Config>, Vec<Check>) {
    let usual = default_path();
    let (path, read) = match path {
        Some(path) => (Some(path), Config::read(path)),
        None => (usual.as_deref(), Config::read_default()),
    };
    let config = match read {
        Ok(config) => config,
        Err(error) => return (None, vec![mistakes(&error)]),
    };
    let mut checks = Vec::new();
    match path {
        Some(path) if path.exists() => {
            checks.push(Check::ok(ID, path.to_string_lossy()));
            checks.push(permissions(path));
        }
        Some(path) => {
            let shown = path.display();
            checks.push(Check::ok(ID, format!("none at {shown}: the defaults hold")));
        }
        None => checks.push(Check::ok(
            ID,
            "none, without a home folder: the defaults hold",
        )),
    }
    (Some(config), checks)
}

fn mistakes(error: &ConfigError) -> Check {
    match error {
        ConfigError::Invalid { path, mistakes } => {
            let count = match mistakes.len() {
                1 => "a mistake".to_owned(),
                count => format!("{count} mistakes"),
            };
            let summary = format!("{} has {count}\n{error}", path.display());
            let remedy =
                "correct the file and run this again: nothing that depends on it was looked at";
            Check::problem(ID, summary, remedy)
        }
        _ => Check::problem(
            ID,
            error.to_string(),
            "make the file readable, and run this again",
        ),
    }
}

fn permissions(path: &Path) -> Check {
    const ID: &str = "config-permissions";
    match changeable_by_others(path) {
        Ok(warnings) if warnings.is_empty() => Check::ok(
            ID,
            "nobody but this user and root may change the configuration",
        ),
        Ok(warnings) => Check::warning(
            ID,
            format!(
                "others may change what codex is allowed to do\n{}",
                warnings.join("\n")
            ),
            "do as each line says",
        ),
        Err(error) => Check::warning(
            ID,
            format!("it cannot be found out who may change it: {error}"),
            "check the folders on the way to it",
        ),
    }
}
