//! The `say` command, as a person and as a script use it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use plexum_openai_provider::{Event, FailureKind, NoticeKind, StopReason};
use plexum_openai_provider_tests::fake_codex::{Step, Usage};
use plexum_openai_provider_tests::jail;
use plexum_openai_provider_tests::wait::{is_running, processes_with, unread, wait_until};
use plexum_openai_provider_tests::workspace::{Said, Workspace, cache_home, program};
use serde_json::json;

fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

fn scripted(steps: impl IntoIterator<Item = Step>) -> Workspace {
    Workspace::scripted(fake_codex(), [steps.into_iter().collect()]).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs `say` to its end and returns what it printed and its exit code.
fn run(command: &mut Command) -> (String, String, Option<i32>) {
    let Output {
        stdout,
        stderr,
        status,
    } = command.output().unwrap();
    (
        text(&stdout).to_owned(),
        text(&stderr).to_owned(),
        status.code(),
    )
}

const CONTRACT: [&str; 3] = [
    "--skip-git-repo-check",
    "--dangerously-bypass-approvals-and-sandbox",
    "--json",
];

#[test]
fn the_answer_is_on_stdout_and_the_next_turn_goes_on() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    assert_eq!(
        run(&mut workspace.say(["hello"])),
        ("echo: hello\n".into(), String::new(), Some(0))
    );
    let id = workspace.session().unwrap().unwrap();
    run(&mut workspace.say(["again"]));
    let calls = workspace.calls().unwrap();
    let argv: Vec<_> = calls.iter().map(|call| call.argv.join(" ")).collect();
    let flags = CONTRACT.join(" ");
    assert_eq!(
        argv,
        [
            format!("exec {flags} -- hello"),
            format!("exec resume {id} {flags} -- again")
        ]
    );
    assert_eq!(calls[0].cwd, workspace.path().canonicalize().unwrap());
}

/// Longer than a supervisor may leave a question of the host unanswered. Several turns, as the host's first question must
/// not be taken for the end of the orders, and emulators differ in who reads first.
#[test]
fn a_codex_that_is_silent_for_long_is_waited_for() {
    let silent = [
        Step::ThreadStarted,
        Step::Pause { millis: 12_000 },
        Step::message("hi"),
        Step::TurnCompleted,
    ];
    std::thread::scope(|threads| {
        for _ in 0..6 {
            threads.spawn(|| {
                let workspace = scripted(silent.clone());
                assert_eq!(
                    run(&mut workspace.say(["hello"])),
                    ("hi\n".into(), String::new(), Some(0))
                );
            });
        }
    });
}

#[test]
fn events_tell_the_turn_in_order() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    for (resumed, total) in [(false, Usage::TURN), (true, Usage::TURN.plus(Usage::TURN))] {
        let said = workspace.turn(None, "hello").unwrap();
        let id = workspace.session().unwrap().unwrap();
        assert_eq!(said.start(), Some((id.as_str(), resumed)));
        assert_eq!(said.text(), "echo: hello");
        let (usage, thread_usage) = said.usage();
        assert_eq!(usage.unwrap().input_tokens, Usage::TURN.input_tokens);
        assert_eq!(thread_usage.unwrap().output_tokens, total.output_tokens);
        assert_eq!(said.events.len(), 3, "{said:?}");
    }
}

#[test]
fn blocks_of_text_are_set_apart_and_the_rest_goes_to_stderr() {
    let command = json!({"type":"item.started","item":{"id":"item_1","type":"command_execution","command":"ls -l","status":"in_progress"}});
    let workspace = scripted([
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("one"),
        Step::emit(command.to_string()),
        Step::message("two\n"),
        Step::Error {
            message: "Reconnecting... 1/5 (cut)".into(),
        },
        Step::message("three"),
        Step::TurnCompleted,
    ]);
    let (stdout, stderr, code) = run(&mut workspace.say(["x"]));
    assert_eq!(stdout, "one\n\ntwo\n\nthree\n");
    assert_eq!(stderr, "- ls -l\nnotice: Reconnecting... 1/5 (cut)\n");
    assert_eq!(code, Some(0));
}

#[test]
fn a_codex_that_fails_ends_in_one_failure_that_names_the_cause() {
    let stderr = |text: &str| Step::Stderr { text: text.into() };
    let exit = |code| Step::Exit { code };
    for (steps, kind, cause) in [
        (
            vec![stderr("Error: the sky fell\n"), exit(1)],
            FailureKind::Protocol,
            "the sky fell",
        ),
        (
            vec![
                stderr("error: unexpected argument '--json' found\n"),
                exit(2),
            ],
            FailureKind::CliIncompatible,
            "--json",
        ),
        (
            vec![
                Step::emit_raw(b"hello, I am not codex\n\x00\xff\n"),
                exit(0),
            ],
            FailureKind::Protocol,
            "hello, I am not codex",
        ),
        (vec![exit(0)], FailureKind::Protocol, "exit code 0"),
        (
            vec![
                Step::ThreadStarted,
                Step::TurnStarted,
                Step::message("half"),
                exit(0),
            ],
            FailureKind::Protocol,
            "exit code 0",
        ),
        (
            vec![Step::ThreadStarted, Step::KillSelf { signal: 9 }],
            FailureKind::Killed,
            "signal 9",
        ),
        (
            Step::failed_turn("unexpected status 401 Unauthorized: who are you").to_vec(),
            FailureKind::Auth,
            "codex login",
        ),
    ] {
        let workspace = scripted(steps.clone());
        let said = workspace.turn(None, "hello").unwrap();
        assert_ne!(said.code, Some(0), "{steps:?}");
        assert_eq!(said.failure_kind(), Some(kind), "{steps:?}: {said:?}");
        let message = &said.failure().unwrap().message;
        assert!(message.contains(cause), "{message}");
        let (_, stderr, code) = run(&mut workspace.say(["hello"]));
        assert!(stderr.ends_with(&format!("error: {message}\n")), "{stderr}");
        assert_eq!(code, said.code);
    }
}

#[test]
fn a_codex_that_cannot_be_started_is_a_failure_that_says_what_to_do() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let plain = workspace.outside("plain");
    std::fs::write(&plain, "not a program\n").unwrap();
    let broken = workspace.outside("broken");
    std::fs::write(&broken, "#!/nowhere/interpreter\n").unwrap();
    let empty = workspace.outside("empty");
    std::fs::write(&empty, "\u{1}\u{2}").unwrap();
    for file in [&broken, &empty] {
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
    }
    for (binary, kind, cause) in [
        (
            workspace.outside("gone"),
            FailureKind::NotInstalled,
            "npm install -g @openai/codex",
        ),
        (
            workspace.path().to_owned(),
            FailureKind::NotInstalled,
            "not a file",
        ),
        (plain, FailureKind::NotInstalled, "chmod +x"),
        (broken, FailureKind::NotInstalled, "interpreter"),
        (empty, FailureKind::NotInstalled, "could not be started"),
    ] {
        workspace.configure(&json!({ "binary": binary })).unwrap();
        let said = workspace.turn(None, "hello").unwrap();
        assert_eq!(
            (said.code, said.failure_kind()),
            (Some(1), Some(kind)),
            "{said:?}"
        );
        let message = &said.failure().unwrap().message;
        assert!(
            message.contains(cause) && message.contains(&*binary.to_string_lossy()),
            "{message}"
        );
    }
}

#[test]
fn without_a_binary_codex_comes_from_path_and_its_absence_names_the_key() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    workspace.configure(&json!({})).unwrap();
    let folder = workspace.outside("bin");
    std::fs::create_dir(&folder).unwrap();
    let say = || {
        let mut say = workspace.say(["--json", "hello"]);
        Said::by(&say.env("PATH", &folder).output().unwrap()).unwrap()
    };
    let said = say();
    assert_eq!(said.failure_kind(), Some(FailureKind::NotInstalled));
    let message = &said.failure().unwrap().message;
    assert!(
        message.contains("npm install -g @openai/codex") && message.contains("`binary`"),
        "{message}"
    );
    std::os::unix::fs::symlink(fake_codex(), folder.join("codex")).unwrap();
    let said = say();
    assert_eq!(said.text(), "echo: hello");
}

#[test]
fn a_configuration_that_is_wrong_is_an_error_before_anything_runs() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    for (config, expected) in [
        (
            "{\n  \"binery\": \"/x\"\n}",
            "config.json:2:3: `binery`: unknown key; did you mean `binary`?",
        ),
        (
            "{\n  \"extra_args\": \"-v\"\n}",
            "config.json:2:17: `extra_args`: expected an array, found the string \"-v\": write [\"-v\"]",
        ),
        ("{", "config.json:1:2: the file ends too early"),
        (
            "{\"binary\": \"codex\"}",
            "config.json:1:12: `binary`: \"codex\" is not an absolute path",
        ),
    ] {
        std::fs::write(workspace.config(), config).unwrap();
        let (stdout, stderr, code) = run(&mut workspace.say(["hello"]));
        assert_eq!((stdout.as_str(), code), ("", Some(2)));
        assert!(
            stderr.starts_with("error: ") && stderr.contains(expected),
            "{stderr}\n{expected}"
        );
    }
    std::fs::remove_file(workspace.config()).unwrap();
    let (_, stderr, code) = run(&mut workspace.say(["hello"]));
    assert!(
        stderr.contains("config.json cannot be read: No such file"),
        "{stderr}"
    );
    assert_eq!(code, Some(2));
    assert!(workspace.calls().unwrap().is_empty());
}

#[test]
fn the_default_configuration_is_the_operators_file_where_there_is_one() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let home = workspace.outside("home");
    let folder = home.join(".plexum/plugins/plexum-openai-provider");
    std::fs::create_dir_all(&folder).unwrap();
    let say = || {
        let mut command = Command::new(program());
        command
            .args(["say", "--json", "hello"])
            .current_dir(workspace.path());
        command
            .env("HOME", &home)
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
            .env("PATH", "/nowhere")
            .stdin(Stdio::null());
        Said::by(&command.output().unwrap()).unwrap()
    };
    assert_eq!(say().failure_kind(), Some(FailureKind::NotInstalled));
    std::fs::copy(workspace.config(), folder.join("config.json")).unwrap();
    assert_eq!(say().text(), "echo: hello");
}

#[test]
fn models_are_those_of_the_configuration() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    workspace
        .configure(&json!({
            "binary": fake_codex(), "extra_args": ["-c", "a=1"],
            "supported_models": ["codex", "gpt-x", "fast"], "model_args": {"fast": ["--model", "gpt-x", "-c", "effort=\"low\""]},
        }))
        .unwrap();
    for (model, args) in [
        ("codex", ""),
        ("gpt-x", "--model gpt-x "),
        ("fast", "--model gpt-x -c effort=\"low\" "),
    ] {
        let output = workspace
            .say(["--json", "--model", model, "hello"])
            .output()
            .unwrap();
        let said = Said::by(&output).unwrap();
        // `codex exec` does not say which model answers.
        assert!(matches!(
            said.events[0],
            Event::MessageStart { model: None, .. }
        ));
        let argv = workspace.calls().unwrap().pop().unwrap().argv.join(" ");
        assert!(
            argv.ends_with(&format!("--json {args}-c a=1 -- hello")),
            "{argv}"
        );
    }
    let before = workspace.calls().unwrap().len();
    let said = Said::by(
        &workspace
            .say(["--json", "--model", "gpt-y", "hello"])
            .output()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(said.failure_kind(), Some(FailureKind::ModelUnsupported));
    assert!(
        said.failure()
            .unwrap()
            .message
            .contains("codex, gpt-x, fast")
    );
    assert_eq!(workspace.calls().unwrap().len(), before);
}

#[test]
fn of_a_file_of_messages_the_last_user_message_is_the_prompt() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let file = workspace.outside("messages.json");
    let say = |messages: &str| {
        std::fs::write(&file, messages).unwrap();
        run(&mut workspace.say(["--messages".as_ref(), file.as_os_str()]))
    };
    let (stdout, _, code) = say(
        r#"[{"role":"system","content":"be kind"},{"role":"user","content":"one"},{"role":"assistant","content":[{"type":"text","text":"two"}]},
            {"role":"user","content":[{"type":"text","text":"three"}]}]"#,
    );
    // A new conversation is told what was said before.
    assert!(
        stdout.contains("User: one\n\nAssistant: two") && stdout.ends_with("three\n"),
        "{stdout}"
    );
    assert_eq!(code, Some(0));
    let (_, stderr, code) = say("[{\"role\": \"user\"}]");
    assert!(
        stderr.contains("messages.json is not an array of messages")
            && stderr.contains("missing field `content`"),
        "{stderr}"
    );
    assert_eq!(code, Some(2));
    let (_, stderr, code) = say("[]");
    assert!(stderr.contains("no message of role `user`"), "{stderr}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_dash_reads_the_prompt_from_stdin() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    for (prompt, code) in [
        ("two\nlines".as_bytes(), 0),
        (b"-", 0),
        (b"\xff", 2),
        (b"", 1),
    ] {
        let mut child = workspace.say(["-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(prompt).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        if code == 0 {
            assert_eq!(text(&output.stdout), format!("echo: {}\n", text(prompt)));
        }
    }
}

#[test]
fn prompts_travel_on_stdin_where_they_must_or_are_told_to() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let file = workspace.outside("messages.json");
    std::fs::write(&file, r#"[{"role": "user", "content": "-"}]"#).unwrap();
    run(&mut workspace.say(["--messages".as_ref(), file.as_os_str()]));
    workspace
        .configure(&json!({ "binary": fake_codex(), "prompt": "stdin" }))
        .unwrap();
    workspace.turn(None, "secret").unwrap();
    let calls = workspace.calls().unwrap();
    for (call, prompt) in calls.iter().zip(["-", "secret"]) {
        assert_eq!(call.argv[call.argv.len() - 2..], ["--", "-"]);
        assert_eq!(call.stdin_text.as_deref(), Some(prompt));
    }
    assert_eq!(calls.len(), 2);
}

#[test]
fn a_prompt_that_codex_would_not_take_starts_nothing() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let file = workspace.outside("messages.json");
    let long = "é".repeat(1_048_577);
    std::fs::write(
        &file,
        json!([{"role": "user", "content": long}]).to_string(),
    )
    .unwrap();
    let output = workspace
        .say(["--json".as_ref(), "--messages".as_ref(), file.as_os_str()])
        .output()
        .unwrap();
    assert_eq!(
        Said::by(&output).unwrap().failure_kind(),
        Some(FailureKind::PromptTooLarge)
    );
    assert!(workspace.calls().unwrap().is_empty());
    assert_eq!(workspace.session().unwrap(), None);
}

#[test]
fn a_request_that_the_component_has_no_memory_for_is_too_large_and_no_fault_of_the_component() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let config = json!({ "binary": fake_codex(), "guest": { "memory_mib": 16 } });
    workspace.configure(&config).unwrap();
    let file = workspace.outside("messages.json");
    let turn = |megabytes: usize| {
        let long = "x".repeat(megabytes << 20);
        let messages = json!([
            { "role": "assistant", "content": long },
            { "role": "user", "content": "hello" }
        ]);
        std::fs::write(&file, messages.to_string()).unwrap();
        let mut say = workspace.say(["--json".as_ref(), "--messages".as_ref(), file.as_os_str()]);
        Said::by(&say.output().unwrap()).unwrap()
    };
    let said = turn(40);
    assert_eq!(said.failure_kind(), Some(FailureKind::PromptTooLarge));
    let message = said.failure().unwrap().message.clone();
    assert!(message.contains("guest.memory_mib"), "{message}");
    assert!(workspace.calls().unwrap().is_empty());
    assert_eq!(turn(1).code, Some(0));
}

#[test]
fn a_session_that_is_not_a_thread_id_is_set_aside_and_reported() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    std::fs::write(workspace.path().join(".plexum-codex-session"), "my thread").unwrap();
    let said = workspace.turn(None, "hello").unwrap();
    assert!(
        said.events.iter().any(|event| matches!(event,
        Event::Notice { kind: NoticeKind::SessionReplaced { old, .. }, .. } if old == "my thread")),
        "{said:?}"
    );
    let aside =
        std::fs::read_to_string(workspace.path().join(".plexum-codex-session.bad")).unwrap();
    assert_eq!(aside, "my thread");
    assert_eq!(
        workspace.session().unwrap().as_deref(),
        said.start().map(|(id, _)| id)
    );
    assert!(
        !workspace.calls().unwrap()[0]
            .argv
            .contains(&"resume".to_owned())
    );
}

#[test]
fn an_interrupt_ends_the_turn_in_good_order() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let workspace = scripted([
            Step::ThreadStarted,
            Step::TurnStarted,
            Step::message("half"),
            Step::Forever,
        ]);
        let mut child = workspace.say(["--json", "hello"]).spawn().unwrap();
        // Not before it has passed on what codex said.
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("half") {
            assert!(stdout.read_line(&mut printed).unwrap() > 0, "{printed}");
        }
        // SAFETY: `kill` takes plain numbers and touches no memory; the test started this process.
        unsafe { libc::kill(child.id().cast_signed(), signal) };
        stdout.read_to_string(&mut printed).unwrap();
        let mut output = child.wait_with_output().unwrap();
        output.stdout = printed.into_bytes();
        let said = Said::by(&output).unwrap();
        assert_eq!(said.code, Some(code));
        assert_eq!(said.text(), "half");
        assert!(matches!(
            said.events.last(),
            Some(Event::MessageEnd {
                stop_reason: StopReason::Aborted,
                ..
            })
        ));
        assert!(!is_running(workspace.calls().unwrap()[0].pid));
        assert!(workspace.session().unwrap().is_some());
    }
}

#[test]
fn a_closed_pipe_stops_the_turn_without_a_complaint() {
    let workspace = scripted([
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::touch("ready"),
        Step::wait_for_file("go"),
        Step::message("one"),
        Step::Forever,
    ]);
    let mut child = workspace.say(["--json", "hello"]).spawn().unwrap();
    wait_until("codex is ready", || workspace.path().join("ready").exists());
    // Only one event is left then, after which codex says nothing.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.contains("message_start"), "{first}");
    drop(stdout);
    std::fs::write(workspace.path().join("go"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(141), "")
    );
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
}

#[test]
fn a_component_that_cannot_be_used_is_an_error() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let file = workspace.outside("plugin.wasm");
    let say =
        || run(&mut workspace.say(["--component".as_ref(), file.as_os_str(), "hello".as_ref()]));
    let (_, stderr, code) = say();
    assert!(stderr.contains("plugin.wasm cannot be read"), "{stderr}");
    assert_eq!(code, Some(2));
    std::fs::write(&file, "\0asm\r\0\u{1}\0").unwrap();
    let (_, stderr, code) = say();
    assert!(stderr.contains("does not fit the world"), "{stderr}");
    assert_eq!(code, Some(2));
    std::fs::write(&file, plexum_openai_provider::COMPONENT).unwrap();
    assert_eq!(say().2, Some(0));
}

#[test]
fn a_codex_in_the_workspace_is_not_run_because_path_has_a_relative_entry() {
    let real = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(fake_codex(), real.path().join("codex")).unwrap();
    for (entry, place) in [
        ("./node_modules/.bin", "node_modules/.bin"),
        ("tools", "tools"),
        ("", "."),
        (".", "."),
    ] {
        let workspace = Workspace::new(fake_codex()).unwrap();
        workspace.configure(&json!({})).unwrap();
        let folder = workspace.path().join(place);
        std::fs::create_dir_all(&folder).unwrap();
        let planted = folder.join("codex");
        let mark = workspace.outside("it-ran");
        let script = format!("#!/bin/sh\n: > '{}'\n", mark.display());
        std::fs::write(&planted, script).unwrap();
        std::fs::set_permissions(&planted, PermissionsExt::from_mode(0o755)).unwrap();

        let path = std::env::join_paths([Path::new(entry), real.path()]).unwrap();
        let mut say = workspace.say(["hello"]);
        say.env("PATH", &path).current_dir(workspace.path());
        let (stdout, stderr, code) = run(&mut say);
        assert_eq!(
            (stdout.as_str(), code),
            ("echo: hello\n", Some(0)),
            "{stderr}"
        );

        let mut say = workspace.say(["hello"]);
        say.env("PATH", entry).current_dir(workspace.path());
        let (stdout, stderr, code) = run(&mut say);
        assert_eq!((stdout.as_str(), code), ("", Some(1)), "{stderr}");
        assert!(stderr.contains("codex is not on PATH"), "{stderr}");
        assert!(!mark.exists(), "{entry:?}");
    }
}

#[test]
fn sigterm_ends_a_turn_although_nobody_reads_its_answer() {
    for json in [false, true] {
        let workspace = scripted([
            Step::ThreadStarted,
            Step::TurnStarted,
            Step::Flood {
                bytes: 4 << 20,
                line_len: 1 << 12,
            },
            Step::Forever,
        ]);
        let mut say = workspace.say(if json { &["--json", "x"][..] } else { &["x"] });
        // Kept open, and not read.
        let mut say = say.spawn().unwrap();
        let stalled = say.stdout.as_ref().unwrap();
        wait_until("the pipe is full", || is_full(stalled));
        let pid = i32::try_from(say.id()).unwrap();
        // SAFETY: takes numbers only; the process is a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
        let mut ended = None;
        wait_until("say has ended", || {
            ended = say.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(143), "json: {json}");
        wait_until("codex has ended", || {
            processes_with(workspace.path().to_str().unwrap()).is_empty()
        });
    }
}

/// Whether a pipe is as good as full: it keeps what is written in pages, some of which stay half empty.
fn is_full(pipe: &impl std::os::fd::AsRawFd) -> bool {
    // SAFETY: the descriptor is open.
    let size = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETPIPE_SZ) };
    unread(pipe) > size / 2
}

#[test]
fn half_a_character_in_a_message_does_not_block_the_conversation() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let file = workspace.outside("messages.json");
    let messages = r#"[{"role":"user","content":"cut \ud83d"},{"role":"user","content":"whole \ud83e\udd80"}]"#;
    std::fs::write(&file, messages).unwrap();
    let (stdout, stderr, code) = run(&mut workspace.say(["--messages".as_ref(), file.as_os_str()]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.contains("cut \u{fffd}") && stdout.contains("whole 🦀"),
        "{stdout}"
    );
}

#[test]
fn a_terminal_that_closes_is_a_stop_unless_it_is_to_be_ignored() {
    for ignored in [false, true] {
        let go_on = if ignored {
            vec![Step::wait_for_file("go"), Step::TurnCompleted]
        } else {
            vec![Step::Forever]
        };
        let mut steps = vec![
            Step::ThreadStarted,
            Step::TurnStarted,
            Step::touch("running"),
        ];
        steps.extend(go_on);
        let workspace = scripted(steps);
        let mut say = workspace.say(["--json", "x"]);
        let mut command = Command::new("env");
        if ignored {
            command.arg("--ignore-signal=HUP");
        }
        command
            .arg(say.get_program())
            .args(say.get_args())
            .envs(
                say.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        drop(std::mem::replace(&mut say, command));
        let child = say.spawn().unwrap();
        let running = workspace.path().join("running");
        wait_until("codex runs", || running.exists());
        let pid = i32::try_from(child.id()).unwrap();
        // SAFETY: takes numbers only; the process is a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGHUP) }, 0);
        std::fs::write(workspace.path().join("go"), "").unwrap();
        let said = Said::by(&child.wait_with_output().unwrap()).unwrap();
        let expected = if ignored { Some(0) } else { Some(129) };
        assert_eq!(said.code, expected, "{said:?}");
    }
}

#[test]
fn what_a_prompt_cannot_be_is_said_with_a_remedy() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let piped = |input: &[u8]| {
        let file = workspace.outside("prompt");
        std::fs::write(&file, input).unwrap();
        run(workspace
            .say(["-"])
            .stdin(std::fs::File::open(file).unwrap()))
    };
    let (stdout, stderr, code) = piped(b"gr\xfc\xdfe");
    assert_eq!((stdout.as_str(), code), ("", Some(2)), "{stderr}");
    assert!(
        stderr.contains("not UTF-8") && stderr.contains("iconv"),
        "{stderr}"
    );
    // Without end, and not read whole.
    let (_, stderr, code) = run(workspace
        .say(["-"])
        .stdin(std::fs::File::open("/dev/zero").unwrap()));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("more than 16 MiB"), "{stderr}");
    // As much as is read is still the component's to refuse.
    let (_, stderr, code) = piped(&vec![b'a'; 16 << 20]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("1048576"), "{stderr}");
    assert!(workspace.calls().unwrap().is_empty());
}

#[test]
fn special_files_are_no_configuration_and_no_component() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let fifo = workspace.outside("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for option in ["--config", "--component"] {
        for file in [fifo.as_path(), Path::new("/dev/zero")] {
            let mut say = Command::new(program());
            say.args(["say", "--workspace"]).arg(workspace.path());
            if option == "--component" {
                say.arg("--config").arg(workspace.config());
            }
            let (_, stderr, code) = run(say.arg(option).arg(file).arg("hello"));
            assert_eq!(code, Some(2), "{option}: {stderr}");
            // Said once.
            assert_eq!(stderr.matches("is not a plain file").count(), 1, "{stderr}");
        }
    }
}

#[test]
fn a_folder_whose_name_a_terminal_would_obey_is_shown_as_escapes() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let folder = workspace.path().join("a\u{1b}]52;c;aGk=\u{7}\nINFO forged");
    std::fs::create_dir(&folder).unwrap();
    let mut said = Command::new(program());
    said.args(["say", "--verbose", "--config"])
        .arg(workspace.config())
        .arg("--workspace")
        .arg(&folder)
        .arg("hello")
        .env("PLEXUM_LOG", "trace");
    let session = |action: &str| {
        let mut session = Command::new(program());
        session
            .args(["session", action, "--workspace"])
            .arg(&folder);
        session
    };
    for command in [
        &mut said,
        &mut session("show"),
        &mut session("reset"),
        &mut session("show"),
    ] {
        let (stdout, stderr, _) = run(command.env("XDG_STATE_HOME", workspace.state_home()));
        let shown = format!("{stdout}{stderr}");
        assert!(
            !shown.contains('\u{1b}') && !shown.contains('\u{7}'),
            "{shown:?}"
        );
        assert!(
            !shown.lines().any(|line| line.starts_with("INFO forged")),
            "{shown}"
        );
    }
}

#[test]
fn where_hardly_a_thread_can_be_started_that_is_said() {
    const OTHER: u32 = 1501;
    let workspace = Workspace::new(fake_codex()).unwrap();
    let home = tempfile::tempdir().unwrap();
    // SAFETY: takes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    let copy = home.path().join("program");
    if is_root {
        // No limit on processes holds for root, so another user runs the program, where it may.
        std::fs::copy(program(), &copy).unwrap();
        for folder in [home.path(), workspace.path(), &workspace.outside("")] {
            std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
            chown(folder, Some(OTHER), Some(OTHER)).unwrap();
        }
    }
    for threads in [2, 3] {
        let mut say = if is_root {
            let mut say = Command::new(&copy);
            say.uid(OTHER).gid(OTHER);
            say
        } else {
            // A namespace counts its own.
            let mut say = Command::new("unshare");
            say.args(["--user", "--map-current-user"]).arg(program());
            say
        };
        say.args(["say", "--json", "--config"])
            .arg(workspace.config())
            .arg("--workspace")
            .arg(workspace.path())
            .arg("hello")
            .env("HOME", home.path())
            .env("XDG_STATE_HOME", home.path().join("state"));
        jail::limit(&mut say, libc::RLIMIT_NPROC, threads);
        let output = say.output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            (output.status.code(), stdout),
            (Some(2), ""),
            "{threads}: {stderr}"
        );
        assert!(
            stderr.contains("Resource temporarily unavailable") && stderr.contains("ulimit -u"),
            "{threads}: {stderr}"
        );
    }
}
