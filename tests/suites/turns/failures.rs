//! Every kind of failure, on the real codex wherever it can be made to show it.
//!
//! `internal` and `denied` need a component that is not ours, or a host that is broken; the
//! suites of such components show them. The first words of each kind, as codex has said them, are
//! in `tests/transcripts`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider::{FailureKind, SESSION_FILE, StopReason};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::codex_home::CodexHome;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::wait::{processes_with, wait_until};
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::json;

/// A turn that must fail in this way, and whose sentence must hold these words.
fn fails(agent: &Agent, prompt: &str, kind: FailureKind, words: &str) -> Said {
    let said = turn(agent, prompt);
    let version = &agent.codex.version;
    assert_eq!(
        (said.code, said.failure_kind()),
        (Some(1), Some(kind)),
        "{version} {prompt}: {said:?}"
    );
    let message = &said.failure().unwrap().message;
    assert!(message.contains(words), "{version} {prompt}: {message}");
    said
}

/// The file that holds the thread's history.
fn rollout(agent: &Agent) -> std::path::PathBuf {
    let mut folders = vec![agent.home.path().join("sessions")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                return path;
            }
        }
    }
    panic!("no rollout")
}

fn turn(agent: &Agent, prompt: &str) -> Said {
    agent.turn(prompt).unwrap()
}

#[test]
fn what_the_service_says() {
    let cases = [
        ("mock:e401", FailureKind::Auth, "codex login", false),
        (
            "mock:e400model",
            FailureKind::ModelUnsupported,
            "is not supported",
            false,
        ),
        (
            "mock:e429quota",
            FailureKind::UsageLimit,
            "usage limit",
            false,
        ),
        ("mock:e429", FailureKind::RateLimited, "429", true),
        (
            "mock:overloaded",
            FailureKind::Overloaded,
            "at capacity",
            true,
        ),
        (
            "mock:ctx",
            FailureKind::ContextOverflow,
            "context window",
            false,
        ),
        (
            "mock:drop",
            FailureKind::Network,
            "stream disconnected",
            true,
        ),
        (
            "mock:e400plain",
            FailureKind::InvalidRequest,
            "did not complete the request",
            false,
        ),
    ];
    side_by_side(real_codex!(), |codex| {
        std::thread::scope(|scope| {
            for (prompt, kind, words, retryable) in cases {
                let codex = &codex;
                scope.spawn(move || {
                    let said = fails(&Agent::new(codex).unwrap(), prompt, kind, words);
                    assert_eq!(said.failure().unwrap().retryable, retryable, "{prompt}");
                });
            }
        });
    });
}

#[test]
fn what_codex_says_of_its_own() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        agent
            .configure(&json!({ "extra_args": ["--no-such-flag"] }))
            .unwrap();
        fails(
            &agent,
            "hello",
            FailureKind::CliIncompatible,
            "--no-such-flag",
        );

        let agent = Agent::new(&codex).unwrap();
        std::fs::write(agent.home.path().join("config.toml"), "model = [broken").unwrap();
        fails(&agent, "hello", FailureKind::Config, "config.toml");

        let agent = Agent::new(&codex).unwrap();
        agent
            .configure(&json!({ "extra_args": ["-c", "model_provider=\"none\""] }))
            .unwrap();
        fails(&agent, "hello", FailureKind::Config, "none");
    }
}

#[test]
fn what_may_be_wrong_with_a_session() {
    side_by_side(real_codex!(), |codex| {
        let lost = Agent::new(&codex).unwrap();
        lost.configure(&json!({ "lost_session": "fail" })).unwrap();
        let stored = "01a20459-1490-7bf3-b2e1-4d675dab2915";
        std::fs::write(lost.workspace.path().join(SESSION_FILE), stored).unwrap();
        fails(
            &lost,
            "hello",
            FailureKind::SessionLost,
            "no longer has the stored conversation",
        );
        assert_eq!(
            lost.workspace.session().unwrap().as_deref(),
            Some(stored),
            "the file is untouched"
        );

        let garbled = Agent::new(&codex).unwrap();
        turn(&garbled, "hello");
        std::fs::write(rollout(&garbled), b"\xff\xfe\x00garbage").unwrap();
        fails(
            &garbled,
            "again",
            FailureKind::SessionUnreadable,
            "Correct what the text names",
        );

        let archived = Agent::new(&codex).unwrap();
        turn(&archived, "hello");
        let id = archived.workspace.session().unwrap().unwrap();
        let output = codex
            .command(&archived.home, archived.workspace.path())
            .args(["archive", &id])
            .output()
            .unwrap();
        if output.status.success() {
            fails(
                &archived,
                "again",
                FailureKind::SessionArchived,
                "codex unarchive",
            );
        } else {
            // 0.135 has no such command.
            println!(
                "{}: not archived: {}",
                codex.version,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    });
}

#[test]
fn a_thread_that_a_codex_elsewhere_uses_is_waited_for_and_then_busy() {
    for codex in real_codex!() {
        // 0.135 lets two write at once; only our own lock keeps turns apart there.
        if codex.version.starts_with("0.135.") {
            continue;
        }
        let agent = Agent::new(&codex).unwrap();
        turn(&agent, "hello");
        let id = agent.workspace.session().unwrap().unwrap();
        let asked = agent.model.requests().len();
        let mut other = codex
            .command(&agent.home, agent.workspace.path())
            .args([
                "exec",
                "resume",
                &id,
                "--skip-git-repo-check",
                "--json",
                "--",
                "mock:hang",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the other one asks", || {
            agent.model.requests().len() > asked
        });
        agent
            .configure(&json!({ "limits": { "busy_seconds": 1 } }))
            .unwrap();
        let said = fails(&agent, "mine", FailureKind::SessionBusy, "Another process");
        assert!(said.failure().unwrap().retryable);
        // One that gives the thread back in time is waited for.
        agent
            .configure(&json!({ "limits": { "busy_seconds": 300 } }))
            .unwrap();
        let record = agent.workspace.outside("record.jsonl");
        let waiting = agent
            .say(["--record".as_ref(), record.as_os_str(), "mine".as_ref()])
            .spawn()
            .unwrap();
        let tried =
            || std::fs::read_to_string(&record).is_ok_and(|record| record.contains("\"ended\""));
        wait_until("codex has been turned away", tried);
        other.kill().unwrap();
        other.wait().unwrap();
        let said = Said::by(&waiting.wait_with_output().unwrap()).unwrap();
        assert_eq!(
            (said.code, said.start()),
            (Some(0), Some((id.as_str(), true))),
            "{said:?}"
        );
    }
}

#[test]
fn clocks_run_out() {
    let clocks = [
        (json!({ "idle_seconds": 1 }), FailureKind::IdleTimeout),
        (
            json!({ "turn_seconds": 10, "idle_seconds": 60 }),
            FailureKind::TurnTimeout,
        ),
    ];
    let cases = real_codex!().into_iter();
    let cases = cases.flat_map(|codex| clocks.clone().map(|clock| (codex.clone(), clock)));
    side_by_side(cases, |(codex, (limits, kind))| {
        let agent = Agent::new(&codex).unwrap();
        agent.configure(&json!({ "limits": limits })).unwrap();
        let said = fails(&agent, "mock:hang", kind, "limit");
        assert!(matches!(
            said.events.last(),
            Some(plexum_openai_provider::Event::MessageEnd {
                stop_reason: StopReason::Error,
                ..
            })
        ));
        assert_eq!(
            turn(&agent, "hello").start().map(|(_, resumed)| resumed),
            Some(true),
            "{}",
            codex.version
        );
    });
    // The real one prints its first line at once.
    let silent = Workspace::scripted(fake_codex(), [vec![Step::Forever]]).unwrap();
    silent
        .configure(&json!({ "binary": fake_codex(), "limits": { "start_seconds": 1 } }))
        .unwrap();
    assert_eq!(
        silent.turn(None, "hello").unwrap().failure_kind(),
        Some(FailureKind::StartTimeout)
    );
}

#[test]
fn a_codex_without_a_network_does_not_try_forever() {
    // Nobody listens on this port.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    side_by_side(real_codex!(), |codex| {
        let home = CodexHome::new(&format!("http://127.0.0.1:{free}/v1")).unwrap();
        let workspace = Workspace::new(&codex.path).unwrap();
        let said = workspace.turn(Some(&home), "hello").unwrap();
        assert_eq!(
            said.failure_kind(),
            Some(FailureKind::Network),
            "{}: {said:?}",
            codex.version
        );
        assert!(said.failure().unwrap().retryable);
    });
}

#[test]
fn a_running_tool_has_a_clock_of_its_own() {
    side_by_side(real_codex!(), |codex| {
        let agent = Agent::new(&codex).unwrap();
        agent
            .configure(&json!({ "limits": { "idle_seconds": 6, "tool_idle_seconds": 120 } }))
            .unwrap();
        let said = turn(&agent, "mock:shell=sleep 9; echo slept");
        assert_eq!(
            (said.code, said.text().as_str()),
            (Some(0), "done"),
            "{}: {said:?}",
            codex.version
        );
    });
}

#[test]
fn a_codex_that_is_killed_says_so() {
    side_by_side(real_codex!(), |codex| {
        let agent = Agent::new(&codex).unwrap();
        let asked = agent.model.requests().len();
        let say = agent.say(["mock:hang"]).spawn().unwrap();
        wait_until("the model is asked", || {
            agent.model.requests().len() > asked
        });
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", say.id())).unwrap();
        let killed = Command::new("kill")
            .arg("-KILL")
            .args(children.split_whitespace())
            .status()
            .unwrap();
        assert!(killed.success());
        let said = Said::by(&say.wait_with_output().unwrap()).unwrap();
        assert_eq!(said.failure_kind(), Some(FailureKind::Killed), "{said:?}");
        assert!(said.failure().unwrap().message.contains("signal 9"));
        assert_eq!(
            turn(&agent, "hello").start().map(|(_, resumed)| resumed),
            Some(true)
        );
    });
}

#[test]
fn a_turn_that_is_stopped_leaves_no_tool_behind() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        // A duration that no other process sleeps for. The shell waits for it, so it is a grandchild of codex's
        // tool, which only codex itself can find: it has a process group of its own.
        let seconds = format!("9{}.5", std::process::id());
        let say = agent
            .say([&format!("mock:shell=sleep {seconds}; echo done")])
            .spawn()
            .unwrap();
        let sleeps = || {
            processes_with(&seconds)
                .into_iter()
                .filter(|pid| *pid != say.id().cast_signed())
                .count()
        };
        // The host and codex hold the prompt in their command lines, and the shell that runs it.
        wait_until("the tool runs", || sleeps() >= 3);
        // SAFETY: `kill` takes plain numbers and touches no memory; the test started this process.
        unsafe { libc::kill(say.id().cast_signed(), libc::SIGINT) };
        let said = Said::by(&say.wait_with_output().unwrap()).unwrap();
        assert_eq!(said.code, Some(130), "{}: {said:?}", codex.version);
        assert_eq!(
            processes_with(&seconds),
            Vec::<i32>::new(),
            "{}",
            codex.version
        );
    }
}

#[test]
fn what_only_a_fake_can_show() {
    let trust = "Not inside a trusted directory and --skip-git-repo-check was not specified.\n";
    for (steps, kind) in [
        // Our arguments always hold the flag that makes codex trust the folder.
        (
            vec![Step::Stderr { text: trust.into() }, Step::Exit { code: 1 }],
            FailureKind::UntrustedDirectory,
        ),
        (
            vec![
                Step::ThreadStarted,
                Step::TurnStarted,
                Step::Exit { code: 0 },
            ],
            FailureKind::Protocol,
        ),
    ] {
        let workspace = Workspace::scripted(fake_codex(), [steps]).unwrap();
        assert_eq!(
            workspace.turn(None, "hello").unwrap().failure_kind(),
            Some(kind)
        );
    }
}

fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}
