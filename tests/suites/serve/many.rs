//! Far more turns than this process may hold files open for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use plexum_openai_provider::{Event, StopReason};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::jail;
use plexum_openai_provider_tests::wait::wait_until;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};

use super::client::{Server, fake_codex, scripted};

/// A server, past `initialize`, that may hold so many files open, now and at most.
fn limited(workspace: &Workspace, soft: u64, hard: u64) -> Server {
    let mut command = Command::new(program());
    command
        .arg("serve")
        .arg("--config")
        .arg(workspace.config())
        // Nobody reads the log before the end.
        .env("PLEXUM_LOG", "warn")
        .env("XDG_STATE_HOME", workspace.state_home());
    jail::limit(&mut command, libc::RLIMIT_NOFILE, hard);
    // SAFETY: between fork and exec only system calls are made, on values that were made before.
    unsafe {
        command.pre_exec(move || {
            let limit = libc::rlimit {
                rlim_cur: soft,
                rlim_max: hard,
            };
            // SAFETY: reads the one value that it is given.
            match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        })
    };
    let mut server = Server::spawn(&mut command);
    server.call("initialize", json!({ "protocolVersion": 1 }));
    server
}

/// Begins a turn in each of so many new workspaces, all at once, and waits for their ends: the turns in the order in which
/// they began to run, and what the server logged.
fn all_end_well(turns: usize, hard: u64) -> (Vec<usize>, String) {
    let configured = Workspace::new(fake_codex()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut server = limited(&configured, hard, hard);
    for turn in 0..turns {
        let workspace = folder.path().join(turn.to_string());
        fs::create_dir(&workspace).unwrap();
        let params = json!({ "workspace": workspace, "prompt": "hello" });
        server.ask("turn/start", params);
    }
    let (mut order, mut ended) = (Vec::new(), 0);
    while ended < turns {
        let message: Value = server.receive();
        if message["method"].is_null() {
            assert!(message["result"]["turnId"].is_string(), "{message}");
            continue;
        }
        let event = serde_json::from_value(message["params"]["event"].clone()).unwrap();
        let turn_id = message["params"]["turnId"].as_str().unwrap();
        let turn: usize = turn_id.strip_prefix("turn-").unwrap().parse().unwrap();
        match event {
            Event::MessageStart { .. } => order.push(turn - 1),
            Event::MessageEnd {
                stop_reason,
                failure,
                ..
            } => {
                assert_eq!(
                    stop_reason,
                    StopReason::EndTurn,
                    "{turn} of {turns}: {failure:?}"
                );
                ended += 1;
            }
            Event::Notice { message, .. } => panic!("{turn} of {turns}: {message}"),
            _ => {}
        }
    }
    server.stdin = None;
    let (code, _, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    (order, log)
}

#[test]
fn more_turns_than_open_files_allow_wait_and_end_well() {
    for (turns, hard) in [(20, 128), (100, 100)] {
        let (_, log) = all_end_well(turns, hard);
        let said = format!("may have no more than {hard} open files");
        assert!(log.contains(&said), "{log}");
    }
}

#[test]
fn eleven_hundred_turns_have_room_in_the_usual_limit() {
    let (order, log) = all_end_well(1100, 1024);
    assert!(!log.contains("open files"), "{log}");
    assert_eq!(order.len(), 1100);
    // Those that run at once may overtake each other.
    for (place, turn) in order.iter().enumerate() {
        assert!(place.abs_diff(*turn) <= 64, "turn {turn} is number {place}");
    }
}

#[test]
fn where_there_is_room_for_one_turn_they_run_in_the_order_in_which_they_came() {
    let (order, _) = all_end_well(12, 56);
    assert_eq!(order, (0..12).collect::<Vec<_>>());
}

#[test]
fn the_server_takes_all_the_files_that_it_may_open_and_codex_keeps_its_limit() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let codex = workspace.outside("codex");
    let script = format!(
        "#!/bin/sh\nulimit -Sn >limits\nulimit -Hn >>limits\nexec '{}' \"$@\"\n",
        fake_codex().display()
    );
    fs::write(&codex, script).unwrap();
    fs::set_permissions(&codex, fs::Permissions::from_mode(0o755)).unwrap();
    workspace.configure(&json!({ "binary": codex })).unwrap();
    let mut server = limited(&workspace, 100, 2000);
    let turn = server.turn(&workspace, "hello");
    server.until(&turn, None);
    let limits = fs::read_to_string(workspace.path().join("limits")).unwrap();
    assert_eq!(limits, "100\n2000\n");
    let own = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let own = own.lines().find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = own.unwrap().split_whitespace().collect();
    assert_eq!(words[3..5], ["2000", "2000"]);
    server.stdin = None;
    let (_, _, log) = server.end();
    assert!(!log.contains("open files"), "{log}");
}

#[test]
fn a_turn_holds_no_more_files_open_than_it_has_room_for() {
    /// As `host-shim/src/open_files.rs` has it.
    const HELD: usize = 7;
    let workspaces: Vec<Workspace> = (0..8)
        .map(|_| {
            scripted([
                Step::ThreadStarted,
                Step::TurnStarted,
                Step::message("here"),
                Step::Forever,
            ])
        })
        .collect();
    let mut server = limited(&workspaces[0], 1024, 1024);
    let folder = format!("/proc/{}/fd", server.id());
    let open = || fs::read_dir(&folder).unwrap().count();
    let mut first = 0;
    for (turns, workspace) in workspaces.iter().enumerate() {
        let turn = server.turn(workspace, "hello");
        server.until(&turn, Some("here"));
        if turns == 0 {
            // With what is opened once, such as the supervisor's program.
            wait_until(
                "the first turn has closed what it opened for a moment",
                || {
                    let before = first;
                    first = open();
                    first == before
                },
            );
        }
    }
    let more = workspaces.len() - 1;
    let mut now = 0;
    wait_until("the turns hold no more open than they may", || {
        now = open();
        now <= first + more * HELD
    });
    // If it is far less, turns wait for nothing.
    assert!(now >= first + more * (HELD - 2), "{first}, then {now}");
}
