//! A turn where `/proc` is missing, or shows another namespace's processes: what codex leaves behind is ended all the
//! same, and no process that has nothing to do with it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::census::processes_below;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::wait::wait_until;
use plexum_openai_provider_tests::workspace::{Said, Workspace};

/// A turn whose codex leaves a process behind, in namespaces that `unshare` makes with these arguments and that this
/// script of the shell prepares. Skipped where that is not allowed.
fn in_namespaces(test: &str, unshare: &[&str], prepare: &str) {
    let with = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(unshare).args(["sh", "-c", script, "sh"]);
        command
    };
    let can = with(prepare).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        tool::lacks(test, "namespaces are not allowed here");
        return;
    }
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::tool_in_its_own_session(),
        Step::message("done"),
        Step::TurnCompleted,
    ];
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::scripted(codex, [steps]).unwrap();
    let say = workspace.say(["--json", "hello"]);
    // The first process of a namespace takes the others with it when it ends, so it stays until the test has looked.
    let (ended, seen) = (workspace.outside("ended"), workspace.outside("seen"));
    let script = format!(
        "{prepare}; \"$@\"; code=$?; touch '{}'; while [ ! -e '{}' ]; do sleep 0.05; done; exit $code",
        ended.display(),
        seen.display()
    );
    let variables = say
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let say = with(&script)
        .arg(say.get_program())
        .args(say.get_args())
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the turn has ended", || ended.exists());
    let left = processes_below(workspace.path());
    std::fs::write(seen, "").unwrap();
    let said = Said::by(&say.wait_with_output().unwrap()).unwrap();
    assert_eq!(said.text(), "done", "{said:?}");
    assert!(left.is_empty(), "{left:?} is left: {said:?}");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stderr, "");
}

#[test]
fn without_proc() {
    let test = "without_proc";
    in_namespaces(test, &["--mount"], "mount -t tmpfs none /proc");
}

#[test]
fn with_the_proc_of_another_namespace() {
    let test = "with_the_proc_of_another_namespace";
    in_namespaces(test, &["--pid", "--fork"], "true");
}

#[test]
fn with_a_proc_that_does_not_show_this_namespace() {
    // That of a namespace which the program leaves by one of its own beside it.
    let test = "with_a_proc_that_does_not_show_this_namespace";
    in_namespaces(
        test,
        &["--mount", "--pid", "--fork"],
        "unshare --pid --fork sh -c 'mount -t proc none /proc'",
    );
}
