//! Keeps the session file out of git, without a change of any file that git tracks: an agent that is told to commit
//! everything would commit it, and every clone and worktree would name the same thread.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::session::folder::Folder;
use crate::session::place::at;

/// What git leaves out: the session files, and what a crash leaves of them.
const PATTERN: &str = ".plexum-codex-session*";

/// Larger than any list of patterns that a person wrote.
const MAX_BYTES: u64 = 1024 * 1024;

/// Adds the session files to the `info/exclude` of the repository that this folder is in, if it is in one.
pub fn exclude(workspace: &Path) -> io::Result<()> {
    let Some(repository) = workspace.ancestors().find_map(repository_at) else {
        return Ok(());
    };
    let info = repository.join("info");
    let folder = match Folder::open(&info) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Folder::open(&repository)?.make_folder("info")?;
            Folder::open(&info)?
        }
        opened => opened?,
    };
    let text = folder.read("exclude", MAX_BYTES)?.unwrap_or_default();
    if text.lines().any(|line| line == PATTERN) {
        return Ok(());
    }
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let path = info.join("exclude");
    let cannot = |error: io::Error| at(&path, "cannot be written", error);
    let file = rustix::fs::openat(&folder, "exclude", flags, mode);
    let file = file.map_err(|error| cannot(error.into()))?;
    let glue = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    // In one piece, as others may append at the same time.
    let line = format!("{glue}{PATTERN}\n");
    io::Write::write_all(&mut std::fs::File::from(file), line.as_bytes()).map_err(cannot)
}

/// The repository whose working tree begins in this folder; of a worktree, the one that it shares.
///
/// An agent may have written `.git`, so only what git itself would take for a repository counts.
fn repository_at(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    let metadata = git.symlink_metadata().ok()?;
    if metadata.is_dir() {
        return is_repository(&git).then_some(git);
    }
    let open = Folder::open(folder).ok()?;
    let text = open.read(".git", 4096).ok()??;
    let git_folder = folder.join(text.trim_end().strip_prefix("gitdir: ")?);
    match Folder::open(&git_folder)
        .ok()?
        .read("commondir", 4096)
        .ok()?
    {
        // A worktree: the repository names its `.git` file.
        Some(common) => {
            let back = Folder::open(&git_folder)
                .ok()?
                .read("gitdir", 4096)
                .ok()??;
            let back = git_folder.join(back.trim_end()).canonicalize().ok()?;
            let common = git_folder.join(common.trim_end());
            (back == git.canonicalize().ok()? && is_repository(&common)).then_some(common)
        }
        // A submodule.
        None => is_repository(&git_folder).then_some(git_folder),
    }
}

/// What makes git take a folder for a repository.
fn is_repository(folder: &Path) -> bool {
    let is_folder = |name| folder.join(name).is_dir();
    let head = rustix::fs::statat(
        CWD,
        folder.join("HEAD"),
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    );
    head.is_ok() && is_folder("objects") && is_folder("refs")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(args)
            .current_dir(folder)
            .env_remove("GIT_DIR")
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What git sees in this folder once there is a session file.
    fn seen(folder: &Path) -> String {
        exclude(folder).unwrap();
        exclude(folder).unwrap();
        std::fs::write(folder.join(".plexum-codex-session"), "id").unwrap();
        std::fs::write(folder.join(".plexum-codex-session.tmp"), "id").unwrap();
        git(folder, &["status", "--porcelain", "--untracked-files=all"])
    }

    #[test]
    fn git_sees_no_session_file_in_a_repository_a_folder_of_it_or_a_worktree() {
        let above = tempfile::tempdir().unwrap();
        let repository = above.path().join("repository");
        std::fs::create_dir_all(repository.join("folder")).unwrap();
        git(&repository, &["init", "-q"]);
        std::fs::remove_dir_all(repository.join(".git/info")).unwrap();
        assert_eq!(seen(&repository.join("folder")), "");
        assert_eq!(seen(&repository), "");
        let list = std::fs::read_to_string(repository.join(".git/info/exclude")).unwrap();
        assert_eq!(list, ".plexum-codex-session*\n", "once");
        std::fs::write(repository.join(".git/info/exclude"), "*.log").unwrap();
        git(&repository, &["commit", "-q", "--allow-empty", "-m", "one"]);
        git(&repository, &["worktree", "add", "-q", "../worktree"]);
        assert_eq!(seen(&above.path().join("worktree")), "");
        let list = std::fs::read_to_string(repository.join(".git/info/exclude")).unwrap();
        assert_eq!(list, "*.log\n.plexum-codex-session*\n");
    }

    #[test]
    fn what_is_no_repository_is_left_alone() {
        let above = tempfile::tempdir().unwrap();
        let (workspace, victim) = (above.path().join("workspace"), above.path().join("victim"));
        std::fs::create_dir_all(victim.join("info")).unwrap();
        std::fs::create_dir(&workspace).unwrap();
        exclude(&workspace).unwrap();
        for planted in ["gitdir: ../victim", "gitdir: /", "gitdir:", "", "\0"] {
            std::fs::write(workspace.join(".git"), planted).unwrap();
            exclude(&workspace).unwrap();
        }
        std::fs::remove_file(workspace.join(".git")).unwrap();
        std::os::unix::fs::symlink(&victim, workspace.join(".git")).unwrap();
        exclude(&workspace).unwrap();
        assert_eq!(victim.join("info").read_dir().unwrap().count(), 0);
        // A repository whose list is a link to somewhere else.
        std::fs::remove_file(workspace.join(".git")).unwrap();
        git(&workspace, &["init", "-q"]);
        let list = workspace.join(".git/info/exclude");
        std::fs::remove_file(&list).unwrap();
        let target = victim.join("file");
        std::fs::write(&target, "untouched\n").unwrap();
        std::os::unix::fs::symlink(&target, &list).unwrap();
        exclude(&workspace).unwrap_err();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "untouched\n");
    }
}
