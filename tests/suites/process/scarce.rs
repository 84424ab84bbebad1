//! Machines and services that have little, or forbid something: a turn works with what there is, or its end says what is
//! missing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::process::{Command, Output};

use plexum_openai_provider::{Event, FailureKind};
use plexum_openai_provider_tests::fake_codex::{ChildGroup, Step, children};
use plexum_openai_provider_tests::jail::{self, Forbidden};
use plexum_openai_provider_tests::wait::is_running;
use plexum_openai_provider_tests::workspace::{Said, Workspace, program};
use serde_json::{Value, json};
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

/// What a `say` with this prompt comes to, under what `restrict` does to it.
fn said(workspace: &Workspace, prompt: &str, restrict: impl FnOnce(&mut Command)) -> Said {
    let file = workspace.outside("prompt");
    std::fs::write(&file, prompt).unwrap();
    let mut say = workspace.say(["--json", "-"]);
    say.stdin(std::fs::File::open(file).unwrap());
    restrict(&mut say);
    Said::by(&say.output().unwrap()).unwrap()
}

/// What the user was told besides the answer.
fn notices(said: &Said) -> Vec<String> {
    let notices = said.events.iter().filter_map(|event| match event {
        Event::Notice { message, .. } => Some(message.clone()),
        _ => None,
    });
    notices.collect()
}

/// Variables of so many bytes together.
fn variables(bytes: usize) -> impl Iterator<Item = (String, String)> {
    let each = 110_000;
    (0..bytes / each).map(move |number| (format!("BIG_{number}"), "x".repeat(each)))
}

#[test]
fn a_prompt_that_does_not_fit_beside_the_environment_goes_on_standard_input() {
    let codex = env!("CARGO_BIN_EXE_fake-codex");
    let prompt = "a".repeat(130_900);
    for case in ["stack", "environment"] {
        let workspace = workspace();
        let config = json!({ "binary": codex, "env": ["*"], "record": "required" });
        workspace.configure(&config).unwrap();
        let record = workspace.outside("record.jsonl");
        let said = said(&workspace, &prompt, |say| {
            say.arg("--record").arg(&record);
            match case {
                // The arguments may take a quarter of it.
                "stack" => jail::limit(say, libc::RLIMIT_STACK, 512 << 10),
                _ => {
                    jail::limit(say, libc::RLIMIT_STACK, 8 << 20);
                    say.envs(variables(1_980_000));
                }
            }
        });
        assert_eq!(said.code, Some(0), "{case}: {:?}", said.failure());
        assert_eq!(notices(&said), Vec::<String>::new(), "{case}");
        assert_eq!(said.text(), format!("echo: {prompt}"));
        let calls = workspace.calls().unwrap();
        assert_eq!(calls.len(), 1, "{case}");
        assert_eq!(calls[0].argv.last().map(String::as_str), Some("-"));
        assert_eq!(calls[0].stdin_text.as_ref(), Some(&prompt));
        // What was started is what is recorded as allowed.
        let record = std::fs::read_to_string(record).unwrap();
        let lines: Vec<Value> = record
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let shown = |event: &str| -> Vec<bool> {
            let lines = lines.iter().filter(|line| line["event"] == event);
            lines
                .map(|line| line["argv"].as_str().unwrap().ends_with(" -- -"))
                .collect()
        };
        assert_eq!(shown("starting"), [false, true], "{record}");
        assert_eq!(shown("allowed"), [true], "{record}");
        assert!(shown("refused").is_empty(), "{record}");
    }
}

#[test]
fn arguments_that_are_too_long_without_the_prompt_are_named() {
    let codex = env!("CARGO_BIN_EXE_fake-codex");
    for prompt in ["automatic", "stdin"] {
        let workspace = workspace();
        let extra = ["-c".to_owned(), format!("x=\"{}\"", "y".repeat(120_000))];
        let config =
            json!({ "binary": codex, "env": ["*"], "prompt": prompt, "extra_args": extra });
        workspace.configure(&config).unwrap();
        let said = said(&workspace, "hello", |say| {
            jail::limit(say, libc::RLIMIT_STACK, 8 << 20);
            say.envs(variables(1_980_000));
        });
        let failure = said.failure().unwrap();
        assert_eq!(failure.kind, FailureKind::Internal, "{failure:?}");
        assert!(failure.message.contains("`env`"), "{failure:?}");
        assert!(!failure.message.contains("set `prompt`"), "{failure:?}");
        assert_eq!(workspace.calls().unwrap(), []);
    }
}

#[test]
fn what_codex_leaves_behind_ends_also_where_the_supervisor_cannot_become_its_parent() {
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::LeaveChild {
            millis: 3_600_000,
            hold_stdout: false,
            group: ChildGroup::Session,
        },
        Step::message("done"),
        Step::TurnCompleted,
    ];
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::scripted(codex, [steps]).unwrap();
    let said = said(&workspace, "hello", jail::forbid_subreaper);
    assert_eq!(said.code, Some(0), "{said:?}");
    let left = children(workspace.path()).unwrap();
    assert_eq!(left.len(), 1);
    assert!(!is_running(left[0]));
    assert_eq!(notices(&said).len(), 1, "{said:?}");
    // Without the mark too, nothing would be known.
    let refused = self::said(&workspace, "hello", |say| {
        jail::forbid_subreaper(say);
        jail::limit(say, libc::RLIMIT_RTTIME, 1 << 40);
    });
    assert!(refused.failure().is_some(), "{refused:?}");
    assert_eq!(workspace.calls().unwrap().len(), 1);
}

#[test]
fn a_turn_that_finds_its_folders_makes_none() {
    let workspace = workspace();
    let turn = |forbidden: bool| {
        let mut say = workspace.say(["--json", "hello"]);
        if forbidden {
            let call = libc::SYS_mkdirat;
            let errno = libc::EIO;
            jail::forbid(&mut say, Forbidden { call, errno });
        }
        Said::by(&say.output().unwrap()).unwrap()
    };
    assert_eq!(turn(false).code, Some(0));
    let said = turn(true);
    assert_eq!(
        (said.code, said.start().map(|start| start.1)),
        (Some(0), Some(true))
    );
    assert_eq!(notices(&said), Vec::<String>::new(), "{said:?}");
}

#[test]
fn a_state_that_cannot_be_used_is_told_in_each_turn_with_what_to_do() {
    let file = |path: &Path| std::fs::write(path, "").unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Make<'_>); 3] = [
        ("Not a directory", &|state| file(state)),
        ("File exists", &|state| {
            std::os::unix::fs::symlink("/nowhere/at/all", state).unwrap();
        }),
        ("chmod go-w", &|state| {
            std::fs::create_dir(state).unwrap();
            let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(state, everybody).unwrap();
        }),
    ];
    for (told, make) in cases {
        let workspace = workspace();
        std::fs::create_dir(workspace.state_home()).unwrap();
        make(&workspace.state_home().join("plexum-openai-provider"));
        for resumed in [false, true] {
            let said = workspace.turn(None, "hello").unwrap();
            assert_eq!(said.code, Some(0), "{told}: {said:?}");
            assert_eq!(said.start().map(|start| start.1), Some(resumed), "{told}");
            let notices = notices(&said).join(" ");
            assert!(notices.contains(told), "{told}: {notices}");
            let remedy = ["XDG_STATE_HOME", "chmod"];
            let has_remedy = remedy.iter().any(|remedy| notices.contains(remedy));
            assert!(has_remedy, "{told}: {notices}");
        }
    }
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
