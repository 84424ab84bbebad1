//! SIGKILL of the whole host at every step of saving the session.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::SESSION_FILE;
use plexum_openai_provider::SaveStep::{self, FolderSynced, Renamed};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::workspace::Workspace;

const OLD: &str = "01a20459-1490-7bf3-b2e1-4d675dab2915";
const NEW: &str = "01a20459-1490-7bf3-b2e1-4d675dab2916";

fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

fn opens_the_new_thread() -> Vec<Step> {
    vec![
        Step::ThreadStartedAs { id: NEW.into() },
        Step::TurnStarted,
        Step::message("hi"),
        Step::TurnCompleted,
    ]
}

/// A turn of a host that dies at this step.
fn crash(workspace: &Workspace, file: &str, step: SaveStep) {
    let status = Command::new(env!("CARGO_BIN_EXE_crash"))
        .args([fake_codex(), workspace.path()])
        .args([file, &format!("{step:?}")])
        .status()
        .unwrap();
    assert_eq!(
        status.signal(),
        Some(9),
        "{file} {step:?}: the step was not reached"
    );
}

/// The next turn, of a host that lives: it must be a good one.
fn recovers(workspace: &Workspace) -> (String, bool) {
    let said = workspace.turn(None, "again").unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let (thread_id, resumed) = said.start().unwrap();
    assert_eq!(workspace.session().unwrap().as_deref(), Some(thread_id));
    (thread_id.to_owned(), resumed)
}

#[test]
fn the_first_id_is_kept_whole_or_not_at_all() {
    for step in SaveStep::ALL {
        let workspace = Workspace::scripted(fake_codex(), [opens_the_new_thread()]).unwrap();
        crash(&workspace, SESSION_FILE, step);
        let stored = workspace.session().unwrap();
        let expected = matches!(step, Renamed | FolderSynced).then(|| NEW.to_owned());
        assert_eq!(stored, expected, "{step:?}");
    }
}

#[test]
fn an_id_that_takes_the_place_of_another_is_the_old_or_the_new_one() {
    for step in SaveStep::ALL {
        let workspace = Workspace::scripted(
            fake_codex(),
            [opens_the_new_thread(), Step::turn("hi").to_vec()],
        )
        .unwrap();
        std::fs::write(workspace.path().join(SESSION_FILE), OLD).unwrap();
        crash(&workspace, SESSION_FILE, step);
        let expected = if matches!(step, Renamed | FolderSynced) {
            NEW
        } else {
            OLD
        };
        assert_eq!(
            workspace.session().unwrap().as_deref(),
            Some(expected),
            "{step:?}"
        );
        assert_eq!(
            recovers(&workspace),
            (expected.to_owned(), true),
            "{step:?}"
        );
    }
}
