//! Which file `codex` is.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::Access;

use crate::grant::npm_script;

/// Why codex cannot be started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProgramError {
    /// There is no such file.
    #[error("{0}")]
    NotInstalled(String),
    /// There is one, but it cannot be run.
    #[error("{0}")]
    NotExecutable(String),
}

pub(crate) const REMEDY: &str = "install codex with `npm install -g @openai/codex`, and set `binary` in \
     ~/.plexum/plugins/plexum-openai-provider/config.json to the absolute path that `command -v codex` prints";

/// The program to start: the configured one, or `codex` on `search_path` (the value of PATH); if that is the script
/// that npm installs, the program that it starts, which saves a start of node each turn.
pub fn resolve(
    binary: Option<&Path>,
    search_path: Option<&OsStr>,
) -> Result<PathBuf, ProgramError> {
    let Some(binary) = binary else {
        let search_path = search_path.unwrap_or_default();
        let found = on_path("codex", search_path).ok_or_else(|| not_on_path(search_path))?;
        return Ok(npm_script::program_behind(&found).unwrap_or(found));
    };
    let shown = binary.display();
    match std::fs::metadata(binary) {
        Err(error) => {
            // Node was upgraded, most likely, and its old folder is gone.
            let other = on_path("codex", search_path.unwrap_or_default());
            let remedy = other.map_or(REMEDY.to_owned(), |other| {
                let other = npm_script::program_behind(&other).unwrap_or(other);
                format!(
                    "there is one on PATH, so set `binary` in the configuration to {}",
                    other.display()
                )
            });
            Err(ProgramError::NotInstalled(format!(
                "`binary` names {shown}, which cannot be found ({error}): {remedy}"
            )))
        }
        Ok(metadata) if !metadata.is_file() => Err(ProgramError::NotExecutable(format!(
            "`binary` names {shown}, which is not a file: name the codex program itself"
        ))),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Err(ProgramError::NotExecutable(format!(
                "`binary` names {shown}, which is not executable: run `chmod +x` on it, or name another file"
            )))
        }
        Ok(_) => Ok(binary.to_owned()),
    }
}

/// The program of this name in the first folder of `search_path` (the value of PATH) that has one.
///
/// Only absolute entries count. A relative one, the empty one included, would be a folder in the workspace: an agent
/// could put a `codex` there that the host would run for it, and outside codex's sandbox.
pub(crate) fn on_path(name: &str, search_path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search_path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok())
}

/// The entries of `search_path` that [`on_path`] ignores.
pub(crate) fn relative_entries(search_path: &OsStr) -> impl Iterator<Item = PathBuf> + '_ {
    // Without any value there are no entries, although it splits into an empty one.
    std::env::split_paths(search_path)
        .filter(|entry| !search_path.is_empty() && !entry.is_absolute())
}

fn not_on_path(search_path: &OsStr) -> ProgramError {
    // Not its value: no variable's is ever shown.
    let ignored = relative_entries(search_path).count();
    let searched = std::env::split_paths(search_path)
        .filter(|entry| entry.is_absolute())
        .count();
    let ignored = match ignored {
        0 => String::new(),
        ignored => format!(" (relative ones are ignored, and it has {ignored})"),
    };
    ProgramError::NotInstalled(format!(
        "codex is not on PATH, which names {searched} folders{ignored}: {REMEDY}"
    ))
}

/// What identifies a file, and changes if the file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// When it was changed, or what the file system says of it was. Tools that copy a file can set the time of
    /// modification, but not this one.
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file with this name; `None` if it cannot be had.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The program, found once: a later change of PATH has no effect, and a later change of the file is logged.
#[derive(Debug, Default)]
pub struct PinnedProgram(Mutex<Option<(PathBuf, Option<Stamp>)>>);

impl PinnedProgram {
    /// The program to start now; see [`resolve`].
    pub fn get(&self, binary: Option<&Path>) -> Result<PathBuf, ProgramError> {
        let mut pinned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pinned.as_ref().map(|(path, stamp)| (path.clone(), *stamp));
        let path = match &known {
            // Checked again, for an error that says what is wrong now.
            Some((path, _)) if path.exists() => resolve(Some(path), None)?,
            _ => resolve(binary, std::env::var_os("PATH").as_deref())?,
        };
        let stamp = Stamp::of(&path);
        if known.is_some_and(|(_, before)| before != stamp) {
            // An upgrade of codex, most likely; it must not need a restart of the runtime.
            tracing::warn!(program = %path.display(), "the codex program has changed since it was last started");
        }
        *pinned = Some((path.clone(), stamp));
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn without_a_binary_codex_is_looked_for_on_path() {
        let folder = tempfile::tempdir().unwrap();
        let search = Some(folder.path().as_os_str());
        let error = resolve(None, search).unwrap_err();
        assert!(
            matches!(&error, ProgramError::NotInstalled(text) if text.contains("npm install") && text.contains("`binary`")),
            "{error}"
        );
        file(folder.path(), "codex", 0o644);
        assert!(resolve(None, search).is_err());
        let program = file(folder.path(), "codex", 0o755);
        assert_eq!(resolve(None, search), Ok(program));
    }

    #[test]
    fn relative_entries_of_path_are_ignored() {
        let here = std::env::current_dir().unwrap();
        let folder = tempfile::tempdir_in(&here).unwrap();
        file(folder.path(), "codex", 0o755);
        let relative = folder.path().strip_prefix(&here).unwrap();
        let dotted = Path::new(".").join(relative);
        let elsewhere = tempfile::tempdir().unwrap();
        for entry in [relative, &dotted] {
            let search = std::env::join_paths([entry, elsewhere.path()]).unwrap();
            let error = resolve(None, Some(&search)).unwrap_err().to_string();
            assert!(
                error.contains("names 1 folders (relative ones are ignored, and it has 1)"),
                "{error}"
            );
            let program = file(elsewhere.path(), "codex", 0o755);
            assert_eq!(resolve(None, Some(&search)), Ok(program.clone()));
            std::fs::remove_file(program).unwrap();
        }
        // What an empty entry stands for in a shell.
        let search = std::env::join_paths([Path::new(""), elsewhere.path()]).unwrap();
        assert_eq!(relative_entries(&search).count(), 1);
        assert_eq!(relative_entries(OsStr::new("")).count(), 0);
        assert_eq!(relative_entries(OsStr::new("/bin:/usr/bin")).count(), 0);
    }

    #[test]
    fn a_binary_that_cannot_be_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: &Path| resolve(Some(path), None);
        assert!(
            matches!(check(&folder.path().join("gone")), Err(ProgramError::NotInstalled(text)) if text.contains("gone"))
        );
        assert!(
            matches!(check(folder.path()), Err(ProgramError::NotExecutable(text)) if text.contains("not a file"))
        );
        let plain = file(folder.path(), "plain", 0o644);
        assert!(
            matches!(check(&plain), Err(ProgramError::NotExecutable(text)) if text.contains("chmod +x"))
        );
    }

    #[test]
    fn where_the_named_one_is_gone_the_one_on_path_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let search = folder.path().as_os_str();
        let gone = folder.path().join("v22/bin/codex");
        let problem = || resolve(Some(&gone), Some(search)).unwrap_err().to_string();
        assert!(problem().contains("npm install"), "{}", problem());
        let other = file(folder.path(), "codex", 0o755);
        let told = problem();
        assert!(
            told.contains(&format!("to {}", other.display())) && !told.contains("npm install"),
            "{told}"
        );
    }

    #[test]
    fn a_program_is_pinned_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let program = file(folder.path(), "codex", 0o755);
        let pinned = PinnedProgram::default();
        assert_eq!(pinned.get(Some(&program)), Ok(program.clone()));
        // Replaced, as an upgrade does.
        std::fs::remove_file(&program).unwrap();
        file(folder.path(), "codex", 0o755);
        assert_eq!(pinned.get(Some(&program)), Ok(program.clone()));
        std::fs::remove_file(&program).unwrap();
        assert!(matches!(
            pinned.get(Some(&program)),
            Err(ProgramError::NotInstalled(_))
        ));
    }
}
