//! The folders that a turn needs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;

use super::Check;

/// The homes of the user and of codex.
pub fn homes() -> Vec<Check> {
    let mut checks = vec![home()];
    if let Some(codex_home) = variable("CODEX_HOME") {
        let shown = codex_home.to_string_lossy().into_owned();
        checks.push(if Path::new(&codex_home).is_dir() {
            Check::ok("codex-home", format!("CODEX_HOME is {shown}"))
        } else {
            Check::problem(
                "codex-home",
                format!("CODEX_HOME is {shown}, which is not a folder: codex does not create it"),
                format!("run `mkdir -p {shown}`, or unset CODEX_HOME"),
            )
        });
    }
    checks
}

fn home() -> Check {
    const ID: &str = "home";
    match variable("HOME") {
        Some(home) if Path::new(&home).is_dir() => Check::ok(ID, home.to_string_lossy()),
        Some(home) => Check::problem(
            ID,
            format!("HOME is {}, which is not a folder", home.to_string_lossy()),
            "set HOME to a folder: codex keeps its login and its conversations below it",
        ),
        None => Check::problem(
            ID,
            "HOME is not set",
            "set it: codex keeps its login and its conversations below it",
        ),
    }
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The folder that turns are made in.
pub fn workspace(workspace: &Path) -> Vec<Check> {
    const ID: &str = "workspace";
    let shown = workspace.display();
    vec![match std::fs::metadata(workspace) {
        Err(error) => Check::problem(
            ID,
            format!("{shown} cannot be used: {error}"),
            format!("run `mkdir -p {shown}`, or name another one with --workspace"),
        ),
        Ok(metadata) if !metadata.is_dir() => Check::problem(
            ID,
            format!("{shown} is not a folder"),
            "name a folder with --workspace",
        ),
        Ok(metadata) if metadata.nlink() == 0 => Check::problem(
            ID,
            format!("{shown} was removed while this program ran there"),
            "go to a folder that is there, or name one with --workspace",
        ),
        Ok(_) => match rustix::fs::access(workspace, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => Check::ok(ID, format!("{shown}, which can be written to")),
            Err(error) => Check::problem(
                ID,
                format!("{shown} cannot be written to: {error}"),
                format!("give it to this user, or run `chmod u+wx {shown}`"),
            ),
        },
    }]
}
