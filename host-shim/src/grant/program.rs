//! Which file `codex` is.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::grant::npm_script;

/// Why there is no program to start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProgramError {
    /// There is no such file.
    #[error("{0}")]
    NotInstalled(String),
    /// There is, and it cannot be run.
    #[error("{0}")]
    NotExecutable(String),
}

pub(crate) const REMEDY: &str = "install codex with `npm install -g @openai/codex`, and set `binary` in \
     ~/.plexum/plugins/plexum-openai-provider/config.json to the absolute path that `command -v codex` prints";

/// The program to start: the configured one, or `codex` on `search_path` (the value of PATH); where that is the script
/// that npm installs, the program that it starts, which saves a start of node each turn.
/// `fallback_folder` is what relative entries of PATH are relative to.
pub fn resolve(
    binary: Option<&Path>,
    search_path: Option<&std::ffi::OsStr>,
    fallback_folder: &Path,
) -> Result<PathBuf, ProgramError> {
    let Some(binary) = binary else {
        let found = which::which_in("codex", search_path, fallback_folder).map_err(|_| {
            // Not its value: no variable's is ever shown.
            let folders = search_path.map_or(0, |path| std::env::split_paths(path).count());
            ProgramError::NotInstalled(format!(
                "codex is not on PATH, which names {folders} folders: {REMEDY}"
            ))
        })?;
        return Ok(npm_script::program_behind(&found).unwrap_or(found));
    };
    let shown = binary.display();
    match std::fs::metadata(binary) {
        Err(error) => Err(ProgramError::NotInstalled(format!(
            "`binary` names {shown}, which cannot be found ({error}): {REMEDY}"
        ))),
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

/// What tells one file from another, and from itself after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// The program, found once: a later change of PATH changes nothing, and a later change of the file
/// is said.
#[derive(Debug, Default)]
pub struct PinnedProgram(Mutex<Option<(PathBuf, Option<Stamp>)>>);

impl PinnedProgram {
    /// The program to start now; see [`resolve`].
    pub fn get(&self, binary: Option<&Path>, folder: &Path) -> Result<PathBuf, ProgramError> {
        let mut pinned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pinned.as_ref().map(|(path, stamp)| (path.clone(), *stamp));
        let path = match &known {
            // Checked again, for the one sentence that says what is wrong now.
            Some((path, _)) if path.exists() => resolve(Some(path), None, folder)?,
            _ => resolve(binary, std::env::var_os("PATH").as_deref(), folder)?,
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
        let error = resolve(None, search, Path::new("/")).unwrap_err();
        assert!(
            matches!(&error, ProgramError::NotInstalled(text) if text.contains("npm install") && text.contains("`binary`")),
            "{error}"
        );
        file(folder.path(), "codex", 0o644);
        assert!(resolve(None, search, Path::new("/")).is_err());
        let program = file(folder.path(), "codex", 0o755);
        assert_eq!(resolve(None, search, Path::new("/")), Ok(program));
    }

    #[test]
    fn a_binary_that_cannot_be_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: &Path| resolve(Some(path), None, Path::new("/"));
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
    fn a_program_is_pinned_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let program = file(folder.path(), "codex", 0o755);
        let pinned = PinnedProgram::default();
        assert_eq!(
            pinned.get(Some(&program), folder.path()),
            Ok(program.clone())
        );
        // Replaced, as an upgrade does.
        std::fs::remove_file(&program).unwrap();
        file(folder.path(), "codex", 0o755);
        assert_eq!(
            pinned.get(Some(&program), folder.path()),
            Ok(program.clone())
        );
        std::fs::remove_file(&program).unwrap();
        assert!(matches!(
            pinned.get(Some(&program), folder.path()),
            Err(ProgramError::NotInstalled(_))
        ));
    }
}
