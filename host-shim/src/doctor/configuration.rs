//! The operator's file.

use std::path::Path;

use super::Check;
use crate::config::{Config, ConfigError, default_path};
use crate::grant::permission::changeable_by_others;
use crate::scarcity;

const ID: &str = "config";

/// The configuration, if it can be used, and the checks of its file.
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
            checks.push(Check::ok(
                ID,
                format!("none at {shown}: the defaults apply"),
            ));
        }
        None => checks.push(Check::ok(
            ID,
            "none, because there is no home folder: the defaults apply",
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
                "correct the file and run this again: checks that depend on it were skipped";
            Check::problem(ID, summary, remedy)
        }
        error => {
            let scarce = match error {
                ConfigError::Read { source, .. } => scarcity::remedy(source),
                _ => None,
            };
            let remedy =
                scarce.unwrap_or_else(|| "make the file readable, and run this again".to_owned());
            Check::problem(ID, error.to_string(), remedy)
        }
    }
}

fn permissions(path: &Path) -> Check {
    const ID: &str = "config-permissions";
    match changeable_by_others(path) {
        Ok(warnings) if warnings.is_empty() => {
            Check::ok(ID, "only this user and root may change the configuration")
        }
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
            format!("it is not known who may change it: {error}"),
            "check the permissions of the folders above it",
        ),
    }
}
