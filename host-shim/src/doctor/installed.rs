//! The codex program: which file it is, and what it says its version is.

use std::path::{Path, PathBuf};

use super::Check;
use crate::audit::Program;
use crate::codex::query;
use crate::codex::version::Version;
use crate::config::Config;
use crate::grant::program::{self, ProgramError};

/// The oldest version that is supported, and the newest that was tested.
const SUPPORTED: (Version, Version) = (Version(0, 135, 0), Version(0, 169, u64::MAX));

/// An installed codex that answers.
#[derive(Debug)]
pub struct Installed {
    /// The file that a turn would start.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
}

/// The file that a turn would start.
pub fn program(config: &Config) -> Result<PathBuf, ProgramError> {
    let path = std::env::var_os("PATH");
    program::resolve(config.binary.as_deref(), path.as_deref())
}

/// What the audit found about the file, and about who else may change it.
pub fn file(program: &Program) -> Vec<Check> {
    let Some(file) = &program.file else {
        let problem = program.problem.clone().unwrap_or_default();
        let (summary, remedy) = problem
            .split_once(": ")
            .unwrap_or((&problem, program::REMEDY));
        let problem = Check::problem("codex", summary, remedy);
        return [problem].into_iter().chain(path_entries(program)).collect();
    };
    let origin = match program.binary {
        Some(_) => "named by `binary`",
        None => "found on PATH",
    };
    let permissions = if program.warnings.is_empty() {
        Check::ok(
            "codex-permissions",
            "only this user and root may change the program",
        )
    } else {
        Check::warning(
            "codex-permissions",
            format!(
                "others may change what is started\n{}",
                program.warnings.join("\n")
            ),
            "do as each line says",
        )
    };
    let found = Check::ok("codex", format!("{}, {origin}", file.path));
    [found, permissions]
        .into_iter()
        .chain(path_entries(program))
        .collect()
}

/// The check of PATH entries that a turn ignores.
fn path_entries(program: &Program) -> Option<Check> {
    let ignored = &program.ignored_path_entries;
    (!ignored.is_empty()).then(|| {
        let entries: Vec<_> = ignored.iter().map(|entry| format!("`{entry}`")).collect();
        Check::warning(
            "codex-path",
            format!(
                "relative entries of PATH are ignored, because an agent may write where they lead: {}",
                entries.join(", ")
            ),
            "nothing, if codex is the one you want; else set `binary`",
        )
    })
}

impl Installed {
    /// Asks the program for its version. Returns codex, if it can be used, and the check.
    pub async fn ask(path: PathBuf, config: &Config) -> (Option<Self>, Check) {
        const ID: &str = "codex-version";
        let (oldest, newest) = SUPPORTED;
        let range = format!("{}.{} to {}.{}", oldest.0, oldest.1, newest.0, newest.1);
        let answer = match query::ask(&path, &["--version"], config).await {
            Ok(answer) => answer,
            Err(error) => {
                let remedy = error.remedy(started_by_hand(&path));
                return (None, Check::problem(ID, error.said, remedy));
            }
        };
        let Some(version) = Version::printed(&answer.stdout) else {
            let said = first_line(&answer.stdout).or(telling_line(&answer.stderr));
            let said = said.unwrap_or("nothing");
            let summary = format!(
                "`{} --version` prints {said:?} ({}), which is not a version of codex",
                path.display(),
                answer.status
            );
            return (None, Check::problem(ID, summary, started_by_hand(&path)));
        };
        let check = if version < oldest {
            Check::problem(
                ID,
                format!("codex {version} is too old: {range} are supported"),
                "run `npm install -g @openai/codex@latest`",
            )
        } else if version > newest {
            Check::warning(
                ID,
                format!("codex {version} is newer than the tested versions, {range}"),
                format!(
                    "if turns fail, run `npm install -g @openai/codex@{}.{}`",
                    newest.0, newest.1
                ),
            )
        } else {
            Check::ok(ID, format!("codex {version}, of {range}"))
        };
        (Some(Installed { path, version }), check)
    }
}

fn started_by_hand(path: &Path) -> String {
    format!(
        "run `{} --version` by hand; reinstall codex with `npm install -g @openai/codex`",
        path.display()
    )
}

/// The line that says what is wrong, as far as that can be told: a stack of node, for example, begins with others.
pub fn telling_line(text: &str) -> Option<&str> {
    let lines = || text.lines().map(str::trim);
    let tells = |line: &&str| {
        let line = line.to_ascii_lowercase();
        ["error:", "not found", "cannot", "missing", "denied"]
            .iter()
            .any(|word| line.contains(word))
    };
    lines().find(tells).or_else(|| first_line(text))
}

/// The first line that is not blank.
pub fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supported_versions_are_0_135_to_0_169() {
        let (oldest, newest) = SUPPORTED;
        assert!(Version(0, 134, 9) < oldest && oldest <= Version(0, 135, 0));
        assert!(Version(0, 169, 7) < newest && newest < Version(0, 170, 0));
        assert!(newest < Version(1, 0, 0));
    }
}
