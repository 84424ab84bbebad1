//! A workspace and its conversation: lost, replaced, shared, shown and reset.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider::{Event, FailureKind, NoticeKind, ReplacementReason, SESSION_FILE};
use plexum_openai_provider_tests::codex_home::CodexHome;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::wait::wait_until;
use plexum_openai_provider_tests::workspace::{Said, Workspace, program};
use serde_json::json;

fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

/// The notice that another thread took the place of the stored one: old, new, reason.
fn replaced(said: &Said) -> Option<(&str, &str, ReplacementReason)> {
    said.events.iter().find_map(|event| match event {
        Event::Notice {
            kind: NoticeKind::SessionReplaced {
                old, new, reason, ..
            },
            ..
        } => Some((old.as_str(), new.as_str(), *reason)),
        _ => None,
    })
}

#[test]
fn a_lost_thread_is_replaced_as_the_operator_wishes() {
    let messages = json!([
        { "role": "user", "content": "my name is Ada" },
        { "role": "assistant", "content": "noted" },
        { "role": "user", "content": "who am I?" },
    ]);
    for codex in real_codex!() {
        for policy in ["replay", "fresh", "fail"] {
            let model = MockModel::start_with(Options::default()).unwrap();
            let home = CodexHome::new(&model.base_url()).unwrap();
            let workspace = Workspace::new(&codex.path).unwrap();
            workspace
                .configure(&json!({ "binary": codex.path, "lost_session": policy }))
                .unwrap();
            workspace.turn(Some(&home), "my name is Ada").unwrap();
            let old = workspace.session().unwrap().unwrap();
            std::fs::remove_dir_all(home.path().join("sessions")).unwrap();

            let file = workspace.outside("messages.json");
            std::fs::write(&file, messages.to_string()).unwrap();
            let mut say =
                workspace.say(["--json".as_ref(), "--messages".as_ref(), file.as_os_str()]);
            say.env("CODEX_HOME", home.path()).env("HOME", home.path());
            let said = Said::by(&say.output().unwrap()).unwrap();

            let stored = workspace.session().unwrap().unwrap();
            if policy == "fail" {
                assert_eq!(
                    said.failure_kind(),
                    Some(FailureKind::SessionLost),
                    "{said:?}"
                );
                assert_eq!(stored, old);
                continue;
            }
            assert_eq!(
                (said.code, said.start()),
                (Some(0), Some((stored.as_str(), false))),
                "{said:?}"
            );
            assert_eq!(
                replaced(&said),
                Some((old.as_str(), stored.as_str(), ReplacementReason::Lost))
            );
            let prompt = model.requests().pop().unwrap().last_user_text().unwrap();
            if policy == "replay" {
                assert!(
                    prompt.contains("User: my name is Ada\n\nAssistant: noted")
                        && prompt.ends_with("who am I?"),
                    "{prompt}"
                );
            } else {
                assert_eq!(prompt, "who am I?");
            }
            // The new thread counts from nothing, so this turn's usage is known.
            let (usage, thread_usage) = said.usage();
            assert!(usage.is_some() && usage == thread_usage);
            assert_eq!(
                workspace.turn(Some(&home), "again").unwrap().start(),
                Some((stored.as_str(), true))
            );
        }
    }
}

#[test]
fn a_turn_that_had_begun_is_never_made_again() {
    // A resumed thread that is reported lost after its turn began: tools may have run.
    for begun in [
        vec![Step::ThreadStarted, Step::TurnStarted],
        vec![Step::TurnStarted],
        vec![Step::message("half an answer")],
    ] {
        let mut lost = begun.clone();
        lost.extend([
            Step::Stderr {
                text: "Error: no rollout found for thread id x\n".into(),
            },
            Step::Exit { code: 1 },
        ]);
        let workspace =
            Workspace::scripted(fake_codex(), [Step::turn("hi").to_vec(), lost]).unwrap();
        workspace.turn(None, "one").unwrap();
        let said = workspace.turn(None, "two").unwrap();
        assert_eq!(
            said.failure_kind(),
            Some(FailureKind::SessionLost),
            "{begun:?}"
        );
        assert_eq!(workspace.calls().unwrap().len(), 2, "{begun:?}");
    }
}

#[test]
fn another_thread_than_asked_for_is_adopted_and_reported() {
    let new = "01a20459-1490-7bf3-b2e1-4d675dab2916";
    let other = [
        Step::ThreadStartedAs { id: new.into() },
        Step::TurnStarted,
        Step::message("hi"),
        Step::TurnCompleted,
    ];
    let workspace =
        Workspace::scripted(fake_codex(), [Step::turn("hi").to_vec(), other.to_vec()]).unwrap();
    let old = workspace
        .turn(None, "one")
        .unwrap()
        .start()
        .unwrap()
        .0
        .to_owned();
    let said = workspace.turn(None, "two").unwrap();
    assert_eq!(said.start(), Some((new, false)));
    assert_eq!(
        replaced(&said),
        Some((old.as_str(), new, ReplacementReason::OtherThread))
    );
    assert_eq!(workspace.session().unwrap().as_deref(), Some(new));
    assert!(
        said.usage().0.is_none(),
        "nobody knows what that thread had counted before"
    );
}

#[test]
fn twenty_at_once_in_one_workspace_follow_each_other() {
    // Long enough at the start for another one to slip in before the id is stored.
    let steps = vec![
        Step::Pause { millis: 150 },
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::Echo,
        Step::TurnCompleted,
    ];
    let workspace = Workspace::scripted(fake_codex(), [steps]).unwrap();
    workspace
        .configure(&json!({ "binary": fake_codex(), "limits": { "busy_seconds": 3 } }))
        .unwrap();
    let says: Vec<_> = (0..20)
        .map(|n| {
            workspace
                .say(["--json", &format!("message {n}")])
                .spawn()
                .unwrap()
        })
        .collect();
    let mut threads = std::collections::BTreeSet::new();
    let mut answered = 0;
    for (n, say) in says.into_iter().enumerate() {
        let said = Said::by(&say.wait_with_output().unwrap()).unwrap();
        match said.failure_kind() {
            None => {
                answered += 1;
                assert_eq!(said.text(), format!("echo: message {n}"));
                threads.insert(said.start().unwrap().0.to_owned());
            }
            Some(kind) => assert_eq!(kind, FailureKind::SessionBusy, "{said:?}"),
        }
    }
    assert_eq!(threads.len(), 1, "{threads:?}");
    assert_eq!(
        workspace.session().unwrap().as_deref(),
        threads.first().map(String::as_str)
    );
    let calls = workspace.calls().unwrap();
    assert_eq!(calls.len(), answered);
    let fresh = calls.iter().filter(|call| call.argv[1] != "resume").count();
    assert_eq!(fresh, 1, "one begins the thread, the others go on with it");
}

#[test]
fn a_workspace_that_is_in_use_is_busy_after_a_bounded_wait() {
    let begun = [Step::ThreadStarted, Step::touch("begun"), Step::Forever];
    let workspace = Workspace::scripted(fake_codex(), [begun.to_vec()]).unwrap();
    workspace
        .configure(&json!({ "binary": fake_codex(), "limits": { "busy_seconds": 1 } }))
        .unwrap();
    let mut first = workspace.say(["one"]).spawn().unwrap();
    plexum_openai_provider_tests::wait::wait_until("it has begun", || {
        workspace.path().join("begun").exists()
    });
    let said = workspace.turn(None, "two").unwrap();
    assert_eq!(said.failure_kind(), Some(FailureKind::SessionBusy));
    assert!(said.failure().unwrap().retryable);
    // SAFETY: `kill` takes plain numbers and touches no memory; the test started this process.
    unsafe { libc::kill(first.id().cast_signed(), libc::SIGINT) };
    first.wait().unwrap();
}

#[test]
fn a_reset_that_waits_for_a_turn_says_so() {
    let steps = vec![Step::ThreadStarted, Step::TurnStarted, Step::Forever];
    let workspace = Workspace::scripted(fake_codex(), [steps]).unwrap();
    let turn = workspace.say(["--json", "hello"]).spawn().unwrap();
    wait_until("the conversation is kept", || {
        workspace.session().unwrap().is_some()
    });
    let said = workspace.outside("said");
    let mut reset = Command::new(program())
        .args(["session", "reset", "--workspace"])
        .arg(workspace.path())
        .env("XDG_STATE_HOME", workspace.state_home())
        .stderr(File::create(&said).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("it says that it waits", || {
        std::fs::read_to_string(&said).is_ok_and(|said| said.contains("is running"))
    });
    assert!(workspace.session().unwrap().is_some());
    // SAFETY: takes numbers only; the process is a child that has not been waited for.
    unsafe { libc::kill(turn.id().cast_signed(), libc::SIGINT) };
    turn.wait_with_output().unwrap();
    assert!(reset.wait().unwrap().success());
    assert_eq!(workspace.session().unwrap(), None);
}

#[test]
fn the_session_command_shows_and_resets() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let session = |action: &str| {
        let output = Command::new(program())
            .args(["session", action, "--workspace"])
            .arg(workspace.path())
            .env("XDG_STATE_HOME", workspace.state_home())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            text(&output.stdout),
            text(&output.stderr),
            output.status.code(),
        )
    };
    let (_, stderr, code) = session("show");
    assert!(stderr.contains("no conversation"), "{stderr}");
    assert_eq!(code, Some(1));
    workspace.turn(None, "hello").unwrap();
    let id = workspace.session().unwrap().unwrap();
    let (stdout, _, code) = session("show");
    assert!(
        stdout.contains(&id) && stdout.contains("\"input_tokens\":1200"),
        "{stdout}"
    );
    assert_eq!(code, Some(0));
    let (stdout, _, code) = session("reset");
    assert!(stdout.contains(".plexum-codex-session.bad"), "{stdout}");
    assert_eq!((code, workspace.session().unwrap()), (Some(0), None));
    assert!(!workspace.path().join(SESSION_FILE).exists());
    assert_eq!(
        workspace
            .turn(None, "hello")
            .unwrap()
            .start()
            .map(|(_, resumed)| resumed),
        Some(false)
    );
}

#[test]
fn images_reach_the_model_in_fresh_and_resumed_turns_and_leave_nothing_behind() {
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
    for codex in real_codex!() {
        let model = MockModel::start_with(Options::default()).unwrap();
        let home = CodexHome::new(&model.base_url()).unwrap();
        let workspace = Workspace::new(&codex.path).unwrap();
        let temporary = workspace.outside("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let file = workspace.outside("messages.json");
        let image = |source| json!([{ "role": "user", "content": [{ "type": "text", "text": "look" }, { "type": "image", "source": source }] }]);
        let say = |messages: serde_json::Value| {
            std::fs::write(&file, messages.to_string()).unwrap();
            let mut say =
                workspace.say(["--json".as_ref(), "--messages".as_ref(), file.as_os_str()]);
            say.env("CODEX_HOME", home.path())
                .env("HOME", home.path())
                .env("TMPDIR", &temporary);
            Said::by(&say.output().unwrap()).unwrap()
        };
        for resumed in [false, true] {
            let said = say(image(json!({ "type": "base64", "data": png })));
            assert_eq!(
                said.start().map(|(_, resumed)| resumed),
                Some(resumed),
                "{}: {said:?}",
                codex.version
            );
            let body = model.requests().pop().unwrap().body.to_string();
            assert!(
                body.contains("input_image") && body.contains("data:image/png;base64,"),
                "{body:.2000}"
            );
        }
        let said = say(image(json!({ "type": "path", "path": "gone.png" })));
        assert_eq!(said.failure_kind(), Some(FailureKind::InvalidRequest));
        assert!(
            said.failure().unwrap().message.contains("gone.png"),
            "{said:?}"
        );
        let ours = std::fs::read_dir(&temporary).unwrap().filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("plexum-codex-")
        });
        assert_eq!(ours.count(), 0, "the copies are removed");
    }
}

#[test]
fn the_sandbox_is_stated_on_every_call_and_the_real_codex_takes_it() {
    for codex in real_codex!() {
        let model = MockModel::start_with(Options::default()).unwrap();
        let home = CodexHome::new(&model.base_url()).unwrap();
        for (sandbox, writes) in [("read-only", false), ("danger-full-access", true)] {
            let workspace = Workspace::new(&codex.path).unwrap();
            workspace
                .configure(&json!({ "binary": codex.path, "sandbox": sandbox }))
                .unwrap();
            for name in ["first", "second"] {
                let said = workspace
                    .turn(Some(&home), &format!("mock:shell=echo x > {name}"))
                    .unwrap();
                assert_eq!(said.code, Some(0), "{} {sandbox}: {said:?}", codex.version);
                assert_eq!(
                    workspace.path().join(name).exists(),
                    writes,
                    "{} {sandbox} {name}: {said:?}",
                    codex.version
                );
            }
        }
    }
}
