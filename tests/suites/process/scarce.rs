//! Machines and services that have little, or forbid something: a turn works with what there is, or its end says what is
//! missing.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::process::{Command, Output};

use plexum_openai_provider::FailureKind;
use plexum_openai_provider_tests::jail::{self, Forbidden};
use plexum_openai_provider_tests::workspace::{Said, Workspace, program};
use tempfile::TempDir;

fn workspace() -> Workspace {
    Workspace::new(Path::new(env!("CARGO_BIN_EXE_fake-codex"))).unwrap()
}

/// Two turns under these restrictions: the second finds the component's machine code, if this folder did not hold it.
fn turns(cache: &TempDir, restrict: impl Fn(&mut Command)) -> [(Workspace, Said); 2] {
    [(), ()].map(|()| {
        let workspace = workspace();
        let mut say = workspace.say(["--json", "hello"]);
        say.env("XDG_CACHE_HOME", cache.path());
        restrict(&mut say);
        let said = Said::by(&say.output().unwrap()).unwrap();
        (workspace, said)
    })
}

#[test]
fn two_gibibytes_of_address_space_are_enough() {
    let cache = tempfile::tempdir().unwrap();
    for gib in [2, 3, 6] {
        let turns = turns(&cache, |say| jail::limit(say, libc::RLIMIT_AS, gib << 30));
        for (_, said) in turns {
            assert_eq!(
                (said.code, said.text().as_str()),
                (Some(0), "echo: hello"),
                "{gib} GiB: {said:?}"
            );
        }
    }
}

#[test]
fn a_sandbox_without_files_in_memory_is_no_obstacle() {
    let cache = tempfile::tempdir().unwrap();
    for errno in [libc::EPERM, libc::ENOSYS, libc::EACCES] {
        let forbidden = Forbidden {
            call: libc::SYS_memfd_create,
            errno,
        };
        for (_, said) in turns(&cache, |say| jail::forbid(say, forbidden)) {
            assert_eq!(said.code, Some(0), "errno {errno}: {said:?}");
        }
    }
}

#[test]
fn where_nothing_may_be_made_executable_that_is_said() {
    let run = |args: &[&str]| -> Option<Output> {
        let mut command = Command::new(program());
        let cache = tempfile::tempdir().unwrap();
        command.args(args).env("XDG_CACHE_HOME", cache.path());
        jail::deny_write_execute(&mut command);
        match command.output() {
            // An older kernel has no such thing.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => None,
            output => Some(output.unwrap()),
        }
    };
    for args in [&["models"][..], &["audit"]] {
        let Some(output) = run(args) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("MemoryDenyWriteExecute"), "{args:?}: {said}");
        assert!(!said.contains("not a component"), "{args:?}: {said}");
    }
    if let Some(output) = run(&["doctor"]) {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("MemoryDenyWriteExecute"), "{said}");
        assert!(!said.contains("build this program again"), "{said}");
    }
}

#[test]
fn what_has_run_out_is_named_and_may_be_tried_again() {
    // From too few for anything to enough for a turn.
    let cache = tempfile::tempdir().unwrap();
    let (mut refused, mut worked) = (0, 0);
    for files in [12, 14, 16, 18, 20, 24, 32] {
        let turns = turns(&cache, |say| jail::limit(say, libc::RLIMIT_NOFILE, files));
        for (workspace, said) in turns {
            if said.code == Some(0) {
                worked += 1;
                continue;
            }
            // It may not have come to a turn at all.
            if let Some(failure) = said.failure() {
                refused += 1;
                assert_eq!(
                    (failure.kind, failure.retryable),
                    (FailureKind::Resources, true),
                    "{files}: {said:?}"
                );
                assert!(
                    failure.message.contains("open files"),
                    "{files}: {failure:?}"
                );
                assert!(!failure.message.contains("emove"), "{files}: {failure:?}");
            }
            drop(workspace);
        }
    }
    assert!(
        refused > 0 && worked > 0,
        "{refused} refused, {worked} worked"
    );
}

#[test]
fn a_limit_on_the_size_of_files_ends_a_turn_and_not_the_program() {
    let cache = tempfile::tempdir().unwrap();
    let turns = turns(&cache, |say| jail::limit(say, libc::RLIMIT_FSIZE, 4096));
    let (_, said) = &turns[1];
    assert_eq!(
        said.failure_kind(),
        Some(FailureKind::Resources),
        "{said:?}"
    );
    assert!(
        said.failure().unwrap().message.contains("ulimit -f"),
        "{said:?}"
    );
}
