//! What remembers a workspace's conversation.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::Check;
use crate::contract::thread_id::is_uuid;
use crate::scarcity;
use crate::session::files::{SESSION_FILE, SessionFiles};
use crate::session::folder::Folder;
use crate::session::lock;
use crate::session::state::State;
use crate::session::store::{Loaded, SessionKey};

const RESET: &str = "run `plexum-openai-provider session reset` with this --workspace";

/// The checks of these files.
pub fn checks(workspace: &Path) -> Vec<Check> {
    if !workspace.is_dir() {
        return Vec::new();
    }
    let held = Folder::open(workspace).and_then(|folder| lock::is_held(folder.file(), workspace));
    let running = matches!(held, Ok(true));
    let mut checks = vec![
        session(&SessionFiles::default(), workspace),
        state(State::default_path().as_deref()),
    ];
    checks.extend(leftovers(workspace, running));
    checks.push(lock(held));
    checks
}

fn session(files: &SessionFiles, workspace: &Path) -> Check {
    const ID: &str = "session";
    match files.peek_blocking(&SessionKey::of_workspace(workspace)) {
        Ok(Loaded { entry, notices, .. }) if !notices.is_empty() => {
            let next = match entry {
                Some(entry) => format!("the next turn continues {}", entry.thread_id),
                None => "the next turn begins a conversation".to_owned(),
            };
            Check::warning(
                ID,
                format!("{next}. It will say: {}", notices.join(" ")),
                "nothing, if that is right",
            )
        }
        Ok(Loaded { entry: None, .. }) => {
            Check::ok(ID, "none yet: the next turn begins a conversation")
        }
        Ok(Loaded {
            entry: Some(entry), ..
        }) if is_uuid(&entry.thread_id) => {
            Check::ok(ID, format!("the next turn continues {}", entry.thread_id))
        }
        Ok(_) => Check::problem(
            ID,
            format!(
                "{SESSION_FILE} does not hold a thread id, so the next turn begins a new conversation"
            ),
            RESET,
        ),
        Err(error) => {
            let remedy = scarcity::remedy(&error).unwrap_or_else(|| {
                "let this user read and write the file, or run as the user whose it is".to_owned()
            });
            Check::problem(ID, error.to_string(), remedy)
        }
    }
}

/// The folder that knows whose a thread is.
fn state(path: Option<&Path>) -> Check {
    const ID: &str = "state";
    const BELIEVED: &str =
        "so each session file is believed, and what a turn costs after the first is not known";
    let Some(path) = path else {
        return Check::warning(
            ID,
            format!("neither XDG_STATE_HOME nor HOME names a folder, {BELIEVED}"),
            "set one of them",
        );
    };
    match State::open_existing(path) {
        Ok(Some(_)) => Check::ok(ID, format!("in {}", path.display())),
        Ok(None) => Check::ok(
            ID,
            format!("none yet: the first turn makes {}", path.display()),
        ),
        Err(error) => Check::problem(
            ID,
            format!("{error}, {BELIEVED}"),
            "give this user a folder that is its own and closed to others, or set XDG_STATE_HOME to one",
        ),
    }
}

fn lock(held: io::Result<bool>) -> Check {
    match held {
        Ok(true) => Check::ok("lock", "held: a turn is under way in this workspace"),
        Ok(false) => Check::ok("lock", "free: no turn is under way in this workspace"),
        Err(error) => Check::problem("lock", error.to_string(), "do what the text names"),
    }
}

/// What a crash left behind.
fn leftovers(workspace: &Path, running: bool) -> Option<Check> {
    let name = format!("{SESSION_FILE}.tmp");
    let found = workspace.join(&name).symlink_metadata();
    let is_there = !matches!(found, Err(error) if error.kind() == ErrorKind::NotFound);
    // While a turn runs it may be writing just this.
    (is_there && !running).then(|| {
        Check::warning(
            "session-leftover",
            format!("a host was killed while it wrote, and left {name}"),
            "nothing is lost, and the next conversation replaces it; or remove it",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doctor::Status;

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

    fn checked(workspace: &Path) -> Check {
        session(&SessionFiles::default().without_state(), workspace)
    }

    #[test]
    fn a_healthy_workspace_has_nothing_to_complain_about() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(checked(folder.path()).status, Status::Ok);
        std::fs::write(folder.path().join(SESSION_FILE), ID).unwrap();
        let check = checked(folder.path());
        assert!(check.status == Status::Ok && check.summary.contains(ID));
    }

    #[test]
    fn a_held_lock_is_said_and_excuses_a_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let has = |id: &str| {
            checks(folder.path())
                .into_iter()
                .find(|check| check.id == id)
        };
        std::fs::write(folder.path().join(".plexum-codex-session.tmp"), "").unwrap();
        assert_eq!(has("session-leftover").unwrap().status, Status::Warning);
        assert!(has("lock").unwrap().summary.starts_with("free"));
        let turn = Folder::open(folder.path()).unwrap();
        assert!(lock::try_lock(turn.file(), folder.path()).unwrap());
        assert!(has("session-leftover").is_none());
        assert!(has("lock").unwrap().summary.starts_with("held"));
        drop(turn);
        // Looking has not taken it away from the next turn.
        let next = Folder::open(folder.path()).unwrap();
        assert!(lock::try_lock(next.file(), folder.path()).unwrap());
    }

    #[test]
    fn what_is_not_a_session_is_said_without_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(SESSION_FILE);
        std::fs::write(&file, "--last").unwrap();
        let check = checked(folder.path());
        assert!(check.status == Status::Problem && !check.summary.contains("--last"));
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        let check = checked(folder.path());
        assert!(check.status == Status::Warning, "{check:?}");
        assert!(check.summary.contains("symbolic link"), "{check:?}");
    }

    #[test]
    fn a_state_that_others_can_write_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(state(None).status, Status::Warning);
        assert_eq!(state(Some(&path)).status, Status::Ok);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(state(Some(&path)).status, Status::Ok);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o770)).unwrap();
        let check = state(Some(&path));
        assert!(check.status == Status::Problem && check.summary.contains("go-w"));
    }
}
