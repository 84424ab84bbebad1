//! Time in which nobody can run (a paused container, a frozen machine, a suspended `say`) is charged to nobody.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use plexum_openai_provider::FailureKind;
use plexum_openai_provider_tests::attack::supervisor_of;
use plexum_openai_provider_tests::fake_codex::{ServerScript, Step, children};
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::{Value, json};

/// Longer than any of the clocks below.
const PAUSE: Duration = Duration::from_secs(5);

fn signal(pid: i32, signal: i32) {
    // SAFETY: takes numbers only; all of them are of this test's own processes.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// How long codex takes to say something after the pause.
const AFTER: Duration = Duration::from_millis(600);

/// Freezes these for longer than any clock, and has them go on in this order.
fn freeze(all: &[i32]) {
    for pid in all {
        signal(*pid, libc::SIGSTOP);
    }
    std::thread::sleep(PAUSE);
    for pid in all {
        signal(*pid, libc::SIGCONT);
    }
}

/// Has codex complete its turn, in a while.
fn complete(workspace: &Workspace) {
    std::thread::sleep(AFTER);
    std::fs::write(workspace.path().join("go"), "").unwrap();
}

/// Both ways of talking to codex.
const TRANSPORTS: [&str; 2] = ["exec", "app-server"];

/// A workspace in which codex says `here`, does this, and says `done` when it is told to go on.
fn waits(transport: &str, limits: &Value, does: &[Step]) -> Workspace {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let steps = |begins: &[Step], says: fn(&str) -> Step, ends: Step| {
        let begins = begins.iter().cloned().chain([says("here")]);
        let waits = begins.chain(does.iter().cloned());
        let goes_on = [Step::wait_for_file("go"), says("done"), ends];
        waits.chain(goes_on).collect::<Vec<_>>()
    };
    let exec = steps(
        &[Step::ThreadStarted, Step::TurnStarted],
        |text| Step::message(text),
        Step::TurnCompleted,
    );
    let server = steps(
        &[Step::turn_accepted(), Step::turn_started()],
        |text| {
            Step::emit(format!(
                r#"{{"method":"item/completed","params":{{"item":{{"type":"agentMessage","id":"{text}","text":"{text}"}},"threadId":$THREAD,"turnId":$TURN}}}}"#
            ))
        },
        Step::turn_completed("completed"),
    );
    let workspace = Workspace::scripted(codex, [exec]).unwrap();
    let script = ServerScript::default().answer("turn/start", server);
    script.write_to(workspace.path()).unwrap();
    let config = json!({ "binary": codex, "limits": limits, "transport": transport });
    workspace.configure(&config).unwrap();
    workspace
}

/// A turn under these limits that is frozen as a whole. After that, codex completes it in a while, or says no more.
fn frozen(transport: &str, limits: &Value, completes: bool) -> Said {
    let workspace = waits(transport, limits, &[]);
    let mut say = workspace.say(["--json", "x"]).spawn().unwrap();
    let mut stdout = BufReader::new(say.stdout.take().unwrap());
    let mut said = String::new();
    // From here on, a clock runs.
    while !said.contains("text_delta") {
        assert_ne!(stdout.read_line(&mut said).unwrap(), 0, "{said}");
    }
    let codex = workspace.calls().unwrap()[0].pid;
    let supervisor = supervisor_of(codex).unwrap();
    let all = [say.id().cast_signed(), supervisor, codex];
    // The host first, which is the worst for codex: its clocks have run out, and codex has said nothing.
    freeze(&all);
    if completes {
        complete(&workspace);
    }
    stdout.read_to_string(&mut said).unwrap();
    let output = Output {
        stdout: said.into_bytes(),
        ..say.wait_with_output().unwrap()
    };
    Said::by(&output).unwrap()
}

#[test]
fn a_turn_that_is_frozen_goes_on() {
    let limits = [
        json!({ "idle_seconds": 3 }),
        json!({ "turn_seconds": 4 }),
        json!({ "idle_seconds": 3, "turn_seconds": 4, "grace_seconds": 1 }),
    ];
    let cases = limits.iter();
    let cases = cases.flat_map(|limits| TRANSPORTS.map(|transport| (limits, transport)));
    side_by_side(cases, |(limits, transport)| {
        let said = frozen(transport, limits, true);
        assert_eq!(said.code, Some(0), "{transport} {limits}: {said:?}");
        assert_eq!(said.text(), "heredone");
    });
}

#[test]
fn the_clocks_still_run_out_afterwards() {
    side_by_side(TRANSPORTS, |transport| {
        let limits = json!({ "idle_seconds": 1, "grace_seconds": 1 });
        let said = frozen(transport, &limits, false);
        assert_eq!(
            said.failure_kind(),
            Some(FailureKind::IdleTimeout),
            "{transport}: {said:?}"
        );
    });
}

/// A turn that waits for another process's turn of the same conversation, while all are frozen for longer than it may wait.
/// After that, the other one completes in a while, or says no more.
fn frozen_while_it_waits(completes: bool) -> Said {
    let first = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::touch("ready"),
        Step::wait_for_file("go"),
        Step::TurnCompleted,
    ];
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let calls = [first, Step::turn("mine").to_vec()];
    let workspace = Workspace::scripted(codex, calls).unwrap();
    let config = json!({ "binary": codex, "limits": { "busy_seconds": 3, "grace_seconds": 1 } });
    workspace.configure(&config).unwrap();
    let mut other = workspace.say(["--json", "x"]).spawn().unwrap();
    let ready = workspace.path().join("ready");
    wait_until("the other turn runs", || ready.exists());
    let waits = workspace.say(["--json", "y"]).spawn().unwrap();
    let descriptors = format!("/proc/{}/fd", waits.id());
    wait_until("the turn waits for the lock", || {
        let mut opened = std::fs::read_dir(&descriptors).unwrap().flatten();
        opened.any(|opened| {
            std::fs::read_link(opened.path()).is_ok_and(|path| path == workspace.path())
        })
    });
    let codex = workspace.calls().unwrap()[0].pid;
    let all = [
        waits.id().cast_signed(),
        other.id().cast_signed(),
        supervisor_of(codex).unwrap(),
        codex,
    ];
    freeze(&all);
    if completes {
        complete(&workspace);
    }
    let said = Said::by(&waits.wait_with_output().unwrap()).unwrap();
    if !completes {
        signal(all[1], libc::SIGINT);
    }
    other.wait().unwrap();
    said
}

#[test]
fn a_turn_that_is_frozen_while_it_waits_for_another_goes_on() {
    side_by_side([true, false], |completes| {
        let said = frozen_while_it_waits(completes);
        if completes {
            assert_eq!(said.code, Some(0), "{said:?}");
            assert_eq!(said.text(), "mine", "{said:?}");
        } else {
            let kind = said.failure_kind();
            assert_eq!(kind, Some(FailureKind::SessionBusy), "{said:?}");
        }
    });
}

/// Whether the process stands still.
fn stands_still(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().starts_with('T')
}

#[test]
fn ctrl_z_suspends_codex_and_its_tools_with_say() {
    // Afterwards it goes on, or is stopped.
    let ends = [(None, 0), (Some(libc::SIGINT), 130)];
    let cases = TRANSPORTS.map(|transport| ends.map(|(then, code)| (transport, then, code)));
    side_by_side(cases.into_iter().flatten(), |(transport, then, code)| {
        let limits = json!({ "idle_seconds": 2, "grace_seconds": 1 });
        let does = [Step::tool_in_its_own_session(), Step::touch("ready")];
        let workspace = waits(transport, &limits, &does);
        let say = workspace.say(["--json", "x"]).spawn().unwrap();
        let ready = workspace.path().join("ready");
        wait_until("codex is at work", || ready.exists());
        let codex = workspace.calls().unwrap()[0].pid;
        let tool = children(workspace.path()).unwrap()[0];
        let all = [say.id().cast_signed(), codex, tool];
        signal(all[0], libc::SIGTSTP);
        wait_until("all are suspended", || all.into_iter().all(stands_still));
        // Longer than codex may be silent.
        std::thread::sleep(Duration::from_secs(3));
        assert!(all.into_iter().all(stands_still));
        if let Some(then) = then {
            signal(all[0], then);
        }
        signal(all[0], libc::SIGCONT);
        if then.is_none() {
            wait_until("all go on", || !all.into_iter().any(stands_still));
            std::fs::write(workspace.path().join("go"), "").unwrap();
        }
        let said = Said::by(&say.wait_with_output().unwrap()).unwrap();
        assert_eq!(said.code, Some(code), "{transport}: {said:?}");
        assert!(!is_running(codex) && !is_running(tool));
    });
}
