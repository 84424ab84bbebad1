//! The program that the component may start, examined and not run.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::grant::permission::{changeable_by_others, octal};
use crate::grant::program::{relative_entries, resolve};

/// The codex program.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Program {
    /// The path in the configuration; absent when `codex` is looked for on PATH.
    pub binary: Option<String>,
    /// What was found.
    pub file: Option<ProgramFile>,
    /// The relative entries of PATH, which are not searched; none when the configuration names the program.
    pub ignored_path_entries: Vec<String>,
    /// Why nothing was found, and what to do.
    pub problem: Option<String>,
    /// How someone else could change what is started.
    pub warnings: Vec<String>,
}

/// The file that is started.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProgramFile {
    /// Where it was found.
    pub path: String,
    /// Where it is, without symbolic links.
    pub canonical_path: String,
    /// The id of the user that it belongs to.
    pub owner: u32,
    /// Its permissions in octal, such as `0755`.
    pub mode: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed, RFC 3339 in UTC; absent where the file system does not say.
    pub modified: Option<String>,
    /// Its SHA-256; absent when this user may run it and not read it.
    pub sha256: Option<String>,
    /// For a script, what runs it: then the digest says nothing about what the script starts.
    pub interpreter: Option<String>,
}

impl Program {
    /// Looks for the program as a turn does, with the present PATH.
    pub(super) fn of(config: &Config) -> Self {
        let search_path = std::env::var_os("PATH");
        Self::found_with(config.binary.as_deref(), search_path.as_deref())
    }

    fn found_with(binary: Option<&Path>, search_path: Option<&OsStr>) -> Self {
        let mut program = Program {
            binary: binary.map(shown),
            file: None,
            ignored_path_entries: Vec::new(),
            problem: None,
            warnings: Vec::new(),
        };
        if binary.is_none() {
            let ignored = relative_entries(search_path.unwrap_or_default());
            program.ignored_path_entries = ignored.map(|entry| shown(&entry)).collect();
        }
        match resolve(binary, search_path) {
            Err(error) => program.problem = Some(error.to_string()),
            Ok(path) => match examine(&path) {
                Err(error) => {
                    program.problem = Some(format!(
                        "{} cannot be examined ({error}): check that this user may read its folder",
                        path.display()
                    ));
                }
                Ok((file, warnings)) => {
                    program.file = Some(file);
                    program.warnings.extend(warnings);
                }
            },
        }
        program
    }
}

fn examine(path: &Path) -> io::Result<(ProgramFile, Vec<String>)> {
    let canonical = path.canonicalize()?;
    let metadata = canonical.metadata()?;
    let warnings = changeable_by_others(path)?;
    let (sha256, interpreter) = match digest(&canonical) {
        Ok((digest, interpreter)) => (Some(digest), interpreter),
        Err(error) => {
            tracing::debug!(%error, path = %canonical.display(), "the program cannot be read");
            (None, None)
        }
    };
    let modified = metadata.modified().ok();
    let file = ProgramFile {
        path: shown(path),
        canonical_path: shown(&canonical),
        owner: metadata.uid(),
        mode: octal(&metadata),
        size: metadata.len(),
        modified: modified.map(|time| humantime::format_rfc3339_seconds(time).to_string()),
        sha256,
        interpreter,
    };
    Ok((file, warnings))
}

/// The digest of a file, and the interpreter that its first line names.
fn digest(path: &Path) -> io::Result<(String, Option<String>)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    let mut interpreter = None;
    let mut first = true;
    loop {
        let read = file.read(&mut chunk)?;
        let bytes = chunk.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok((format!("{:x}", hasher.finalize()), interpreter));
        }
        if std::mem::take(&mut first)
            && let Some(rest) = bytes.strip_prefix(b"#!")
        {
            // As much as Linux looks at.
            let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = line.get(..line.len().min(256)).unwrap_or_default();
            interpreter = Some(String::from_utf8_lossy(line).trim().to_owned());
        }
        hasher.update(bytes);
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn script(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, "#!/bin/false -x\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_link_is_followed_and_the_file_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let real = script(folder.path(), "codex-1", 0o755)
            .canonicalize()
            .unwrap();
        let link = folder.path().join("codex");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let program = Program::found_with(None, Some(folder.path().as_os_str()));
        let file = program.file.unwrap();
        assert_eq!((program.binary, program.problem), (None, None));
        assert_eq!(file.path, shown(&link));
        assert_eq!(file.canonical_path, shown(&real));
        assert_eq!((file.mode.as_str(), file.size), ("0755", 16));
        assert_eq!(
            file.sha256.unwrap(),
            crate::engine::builtin::sha256(b"#!/bin/false -x\n")
        );
        assert_eq!(file.interpreter.unwrap(), "/bin/false -x");
        assert!(file.modified.unwrap().ends_with('Z'));
    }

    #[test]
    fn what_others_may_change_is_a_warning_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = script(folder.path(), "codex", 0o755);
        let warnings = || {
            let warnings = Program::found_with(Some(&path), None).warnings;
            let here = shown(&folder.path().canonicalize().unwrap());
            // What lies above this folder is the tester's.
            warnings
                .into_iter()
                .filter(|warning| warning.contains(&here))
                .collect::<Vec<_>>()
        };
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        assert_eq!(warnings(), [] as [String; 0]);
        mode(&path, 0o775);
        assert!(
            warnings()[0].starts_with("its group may change")
                && warnings()[0].contains("codex (mode 0775): run `chmod go-w ")
        );
        mode(&path, 0o757);
        assert!(warnings()[0].starts_with("everybody may change"));
        mode(&path, 0o755);
        mode(folder.path(), 0o777);
        assert_eq!(warnings().len(), 1, "{:?}", warnings());
        mode(folder.path(), 0o1777);
        assert_eq!(warnings(), [] as [String; 0]);
    }

    #[test]
    fn a_program_that_is_not_there_is_a_problem_with_its_remedy() {
        let program = Program::found_with(Some(Path::new("/nowhere/codex")), None);
        assert!(program.file.is_none());
        let problem = program.problem.unwrap();
        assert!(problem.contains("/nowhere/codex") && problem.contains("npm install"));
    }

    #[test]
    fn relative_entries_of_path_are_named_as_ignored() {
        let ignored = |binary: Option<&str>, path: &str| {
            let program = Program::found_with(binary.map(Path::new), Some(OsStr::new(path)));
            program.ignored_path_entries
        };
        assert_eq!(ignored(None, "/nowhere:bin::./x"), ["bin", "", "./x"]);
        assert_eq!(ignored(None, "/nowhere"), [] as [&str; 0]);
        assert_eq!(ignored(Some("/x"), "bin"), [] as [&str; 0]);
    }
}
