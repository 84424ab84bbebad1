//! A process inherits which signals are ignored. Codex is ended and waited for all the same.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use plexum_openai_provider::{Config, Event, FailureKind, Limits, Provider, Request, SessionFiles};
use plexum_openai_provider_tests::attack::supervisor_of;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::json;

fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

#[test]
fn with_sigchld_ignored_a_turn_ends_at_once_with_codexs_exit_status() {
    let steps = vec![Step::ThreadStarted, Step::Exit { code: 7 }];
    let workspace = Workspace::scripted(fake_codex(), [steps]).unwrap();
    // Longer than the test may take.
    let limits = json!({ "end_seconds": 300, "grace_seconds": 300 });
    let config = json!({ "binary": fake_codex(), "limits": limits });
    workspace.configure(&config).unwrap();
    let mut say = workspace.say(["--json", "--verbose", "--", "hi"]);
    // SAFETY: between fork and exec this only makes a system call, which installs no handler.
    unsafe {
        say.pre_exec(|| {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            Ok(())
        })
    };
    let began = Instant::now();
    let output = say.output().unwrap();
    let took = began.elapsed();
    let said = Said::by(&output).unwrap();
    let failure = said.failure().unwrap();
    assert!(failure.message.contains("exit code 7"), "{failure:?}");
    assert!(took < Duration::from_secs(60), "it took {took:?}");
    assert!(!said.stderr.contains("ERROR"), "{}", said.stderr);
}

/// A `say` that ignores these from the start, with a codex at work.
fn at_work(ignored: &'static [libc::c_int]) -> (Workspace, Child) {
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::touch("ready"),
        Step::wait_for_file("go"),
        Step::TurnCompleted,
    ];
    let workspace = Workspace::scripted(fake_codex(), [steps]).unwrap();
    let mut say = workspace.say(["--json", "--", "hi"]);
    // SAFETY: between fork and exec this only makes system calls, which install no handler.
    unsafe {
        say.pre_exec(move || {
            for signal in ignored {
                libc::signal(*signal, libc::SIG_IGN);
            }
            Ok(())
        })
    };
    let say = say.spawn().unwrap();
    let ready = workspace.path().join("ready");
    wait_until("codex is at work", || ready.exists());
    (workspace, say)
}

fn send(pid: i32, signal: libc::c_int) {
    // SAFETY: takes numbers only; the processes are of this test.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

#[test]
fn the_end_of_the_terminal_is_a_stop_whatever_else_is_ignored() {
    let (workspace, say) = at_work(&[libc::SIGCHLD, libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE]);
    send(say.id().cast_signed(), libc::SIGHUP);
    let said = Said::by(&say.wait_with_output().unwrap()).unwrap();
    assert_eq!(said.code, Some(129), "{said:?}");
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
}

#[test]
fn under_nohup_the_end_of_the_terminal_ends_nothing() {
    let (workspace, say) = at_work(&[libc::SIGHUP]);
    let codex = workspace.calls().unwrap()[0].pid;
    for pid in [say.id().cast_signed(), supervisor_of(codex).unwrap(), codex] {
        send(pid, libc::SIGHUP);
    }
    std::fs::write(workspace.path().join("go"), "").unwrap();
    let said = Said::by(&say.wait_with_output().unwrap()).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test]
async fn with_sigint_ignored_a_cancelled_turn_ends_by_sigint() {
    // As in a process that a shell has started with `&`.
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    let steps = vec![Step::ThreadStarted, Step::TurnStarted, Step::Forever];
    let workspace = Workspace::scripted(fake_codex(), [steps]).unwrap();
    let config = Config {
        binary: Some(fake_codex().into()),
        limits: Limits {
            // Only SIGINT ends it sooner.
            grace_seconds: 300,
            ..Limits::default()
        },
        ..Config::default()
    };
    let provider = Provider::new(config)
        .unwrap()
        .with_session_store(SessionFiles::default().without_state());
    let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
    assert!(matches!(
        turn.next().await,
        Some(Event::MessageStart { .. })
    ));
    let began = Instant::now();
    turn.cancel();
    let mut kind = None;
    while let Some(event) = turn.next().await {
        if let Event::MessageEnd { failure, .. } = event {
            kind = failure.map(|failure| failure.kind);
        }
    }
    assert_eq!(kind, Some(FailureKind::Killed));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "it took {took:?}");
}
