//! The files that remember a workspace's conversation.

use std::io::ErrorKind;
use std::path::Path;

use super::Check;
use crate::contract::thread_id::is_uuid;
use crate::session::files::{Files, LOCK_FILE, SESSION_FILE, STATE_FILE, SessionFiles};
use crate::session::lock::LockFile;
use crate::session::store::SessionKey;

const RESET: &str =
    "run `plexum-openai-provider session reset` with this --workspace, or remove the file";

/// The checks of these files.
pub fn checks(workspace: &Path) -> Vec<Check> {
    if !workspace.is_dir() {
        return Vec::new();
    }
    let held = LockFile::is_held(&workspace.join(LOCK_FILE));
    let running = matches!(held, Ok(true));
    let mut checks = vec![session(workspace)];
    checks.extend(links(workspace));
    checks.extend(leftovers(workspace, running));
    checks.push(match held {
        Ok(true) => Check::ok("lock", "held: a turn is under way in this workspace"),
        Ok(false) => Check::ok("lock", "free: no turn is under way in this workspace"),
        Err(error) => Check::problem("lock", error.to_string(), "remove the file"),
    });
    checks
}

fn session(workspace: &Path) -> Check {
    const ID: &str = "session";
    match SessionFiles::load_blocking(&Files::of(&SessionKey::of_workspace(workspace))) {
        Ok(None) => Check::ok(ID, "none yet: the next turn begins a conversation"),
        Ok(Some(entry)) if is_uuid(&entry.thread_id) => {
            Check::ok(ID, format!("the next turn continues {}", entry.thread_id))
        }
        Ok(Some(_)) => Check::problem(
            ID,
            format!(
                "{SESSION_FILE} does not hold a thread id, so the next turn begins a new conversation"
            ),
            RESET,
        ),
        Err(error) => Check::problem(ID, error.to_string(), "remove it"),
    }
}

/// Files of ours that are something else: an agent may write here, and a link would lead out.
fn links(workspace: &Path) -> Option<Check> {
    let strange: Vec<_> = [SESSION_FILE, STATE_FILE, LOCK_FILE]
        .into_iter()
        .filter(|name| {
            let metadata = workspace.join(name).symlink_metadata();
            metadata.is_ok_and(|metadata| !metadata.is_file())
        })
        .collect();
    (!strange.is_empty()).then(|| {
        Check::problem(
            "session-links",
            format!(
                "not a plain file, so it is not read: {}",
                strange.join(", ")
            ),
            "remove it, and find out who put it there",
        )
    })
}

/// What a crash left behind.
fn leftovers(workspace: &Path, running: bool) -> Option<Check> {
    let left: Vec<_> = [SESSION_FILE, STATE_FILE]
        .into_iter()
        .map(|name| format!("{name}.tmp"))
        .filter(|name| {
            let found = workspace.join(name).symlink_metadata();
            !matches!(found, Err(error) if error.kind() == ErrorKind::NotFound)
        })
        .collect();
    // While a turn runs it may be writing just this.
    (!left.is_empty() && !running).then(|| {
        Check::warning(
            "session-leftover",
            format!(
                "a host was killed while it wrote, and left {}",
                left.join(", ")
            ),
            "nothing is lost, and the next turn replaces it; or remove it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

    fn found(workspace: &Path) -> Vec<(&'static str, Status)> {
        let checks = checks(workspace);
        checks
            .iter()
            .map(|check| (check.id, check.status))
            .collect()
    }

    #[test]
    fn a_healthy_workspace_has_nothing_to_complain_about() {
        let folder = tempfile::tempdir().unwrap();
        let fine = [("session", Status::Ok), ("lock", Status::Ok)];
        assert_eq!(found(folder.path()), fine);
        std::fs::write(folder.path().join(SESSION_FILE), ID).unwrap();
        std::fs::write(folder.path().join(LOCK_FILE), "").unwrap();
        assert_eq!(found(folder.path()), fine);
        assert!(
            !checks(folder.path())
                .iter()
                .any(|check| check.summary.contains("held"))
        );
    }

    #[tokio::test]
    async fn a_held_lock_is_said_and_excuses_a_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".plexum-codex-session.tmp"), "").unwrap();
        assert!(found(folder.path()).contains(&("session-leftover", Status::Warning)));
        let lock = LockFile::acquire(&folder.path().join(LOCK_FILE))
            .await
            .unwrap();
        assert_eq!(
            found(folder.path()),
            [("session", Status::Ok), ("lock", Status::Ok)]
        );
        assert!(
            checks(folder.path())
                .iter()
                .any(|check| check.summary.starts_with("held"))
        );
        drop(lock);
        // Looking has not taken it away from the next turn.
        LockFile::acquire(&folder.path().join(LOCK_FILE))
            .await
            .unwrap();
    }

    #[test]
    fn what_is_not_a_session_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SESSION_FILE), "--last").unwrap();
        assert_eq!(found(folder.path())[0], ("session", Status::Problem));
        assert!(!checks(folder.path())[0].summary.contains("--last"));
        std::fs::remove_file(folder.path().join(SESSION_FILE)).unwrap();
        for name in [SESSION_FILE, LOCK_FILE] {
            std::os::unix::fs::symlink("/etc/passwd", folder.path().join(name)).unwrap();
        }
        let problems = [
            ("session", Status::Problem),
            ("session-links", Status::Problem),
            ("lock", Status::Problem),
        ];
        assert_eq!(found(folder.path()), problems);
    }
}
