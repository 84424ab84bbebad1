//! The very same component in another host: Node.js with jco (`host-shim/examples/jco`). What it makes
//! of every transcript, what it prints, and what it refuses are those of the Rust host.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Output, Stdio};

use plexum_openai_provider::config::Sandbox;
use plexum_openai_provider::grant::{Call, Grant, RequestWord, RequestWords};
use plexum_openai_provider::{Config, Event, FailureKind, NoticeKind, RequestPart};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::attack::warns;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::jco_host::{JcoHost, succeed};
use plexum_openai_provider_tests::transcript::{difference, recordings};
use plexum_openai_provider_tests::wait::is_running;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use plexum_openai_provider_tests::{real_codex, whole_request};
use serde_json::{Value, json};
use tempfile::TempDir;

const CODEX: &str = env!("CARGO_BIN_EXE_fake-codex");

#[test]
fn every_transcript_becomes_the_same_events_as_in_the_rust_host() {
    let Some(host) = JcoHost::get("every_transcript_becomes_the_same_events_as_in_the_rust_host")
    else {
        return;
    };
    // As the test `transcripts` configures its host.
    let config = host.folder().join("transcripts.json");
    let keys = json!({ "binary": CODEX, "lost_session": "fail", "limits": { "busy_seconds": 1 } });
    fs::write(&config, keys.to_string()).unwrap();
    let recordings = recordings().unwrap();
    let states = TempDir::new().unwrap();
    let state_home = |number: usize| states.path().join(number.to_string());
    let workspaces: Vec<TempDir> = recordings
        .iter()
        .enumerate()
        .map(|(number, recording)| {
            let state = state_home(number).join("plexum-openai-provider");
            recording.workspace(&state).unwrap()
        })
        .collect();
    let mut turns = host.test("turns.mjs");
    turns.arg(host.component()).arg(config);
    for (number, workspace) in workspaces.iter().enumerate() {
        turns.arg(workspace.path()).arg(state_home(number));
    }
    succeed(&mut turns);

    let mut wrong = String::new();
    for (recording, workspace) in recordings.iter().zip(&workspaces) {
        let reported = fs::read_to_string(workspace.path().join("events.jsonl")).unwrap();
        let expected = recording.events().unwrap();
        if reported != expected {
            wrong += &format!("{}\n{}", recording.name(), difference(&expected, &reported));
        }
    }
    assert!(wrong.is_empty(), "- the Rust host, + the jco host\n{wrong}");
}

/// What the scripted codex says in the tests below: a thread of a fixed id, and what is easily changed on
/// the way through JavaScript.
fn script() -> Vec<Step> {
    let item =
        |item: Value| Step::emit(json!({ "type": "item.completed", "item": item }).to_string());
    let mcp = r#"{"type":"item.completed","item":{"id":"item_0","type":"mcp_tool_call","server":"lab","tool":"add","arguments":{"b":1.0,"a":12345678901234567890,"c":1e30},"result":null,"error":null,"status":"completed"}}"#;
    vec![
        Step::ThreadStartedAs {
            id: "01a20000-0000-7000-8000-000000000001".into(),
        },
        Step::TurnStarted,
        Step::emit(mcp),
        item(
            json!({ "id": "item_1", "type": "todo_list", "items": [{ "text": "a-b", "completed": false }] }),
        ),
        item(
            json!({ "id": "item_2", "type": "error", "message": "a\u{1}\u{2028}\u{7f}\"\\ \u{1f980}" }),
        ),
        item(
            json!({ "id": "item_3", "type": "command_execution", "command": "x", "aggregated_output": "end-turn", "exit_code": -1, "status": "failed" }),
        ),
        Step::message("zwölf"),
        Step::TurnCompleted,
    ]
}

/// The same without a fixed id, so that the thread can be resumed.
fn script_with_any_id() -> Vec<Step> {
    let mut steps = script();
    steps[0] = Step::ThreadStarted;
    steps
}

#[test]
fn its_command_prints_what_say_json_prints() {
    let Some(host) = JcoHost::get("its_command_prints_what_say_json_prints") else {
        return;
    };
    let failing = Step::failed_turn("unexpected status 401 Unauthorized").to_vec();
    for (steps, code) in [(script(), 0), (failing, 1)] {
        // In one workspace, so that a thread without a fixed id is resumed the second and the third time.
        let workspace = Workspace::scripted(Path::new(CODEX), [steps]).unwrap();
        host.say(&workspace, &[], "first").output().unwrap();
        let ours = workspace.say(["--json", "--", "hi"]).output().unwrap();
        let theirs = host.say(&workspace, &[], "hi").output().unwrap();
        // The running totals, and they alone, differ from turn to turn.
        let text = |output: &Output| {
            let stdout = String::from_utf8(output.stdout.clone()).unwrap();
            let (events, _totals) = stdout
                .split_once("\"thread_usage\"")
                .unwrap_or((&stdout, ""));
            events.to_owned()
        };
        assert_eq!(text(&theirs), text(&ours));
        assert_eq!(theirs.status.code(), Some(code));
        assert_eq!(ours.status.code(), Some(code));
    }
}

#[test]
fn a_conversation_goes_on_from_host_to_host() {
    let Some(host) = JcoHost::get("a_conversation_goes_on_from_host_to_host") else {
        return;
    };
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::Echo,
        Step::TurnCompleted,
    ];
    let workspace = Workspace::scripted(Path::new(CODEX), [steps]).unwrap();
    let mut threads = Vec::new();
    for options in [&[][..], &["--session", "../a"], &["--session", ""]] {
        let ours = |prompt| {
            let arguments = [&["--json"], options, &["--", prompt]].concat();
            Said::by(&workspace.say(arguments).output().unwrap()).unwrap()
        };
        let first = ours("one");
        let theirs = host.say(&workspace, options, "two").output().unwrap();
        let second = Said::by(&theirs).unwrap();
        let third = ours("three");
        let (thread, resumed) = first.start().unwrap();
        assert!(!resumed);
        for (later, said) in [(&second, "echo: two"), (&third, "echo: three")] {
            assert_eq!(later.start(), Some((thread, true)));
            assert_eq!(later.text(), said);
            assert_eq!(later.usage().0, first.usage().0, "the usage of one turn");
        }
        assert!(!threads.contains(&thread.to_owned()), "{options:?}");
        threads.push(thread.to_owned());
    }
}

#[test]
fn changed_instructions_are_noticed_from_host_to_host() {
    let Some(host) = JcoHost::get("changed_instructions_are_noticed_from_host_to_host") else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [script_with_any_id()]).unwrap();
    let unsupported = |said: &Said| {
        said.events.iter().any(|event| match event {
            Event::Notice { kind, .. } => {
                matches!(kind, NoticeKind::Unsupported { part, .. } if *part == RequestPart::Instructions)
            }
            _ => false,
        })
    };
    let options = |text| ["--instructions", text];
    let ours = |text| {
        let arguments = [&["--json"][..], &options(text), &["--", "hi"]].concat();
        Said::by(&workspace.say(arguments).output().unwrap()).unwrap()
    };
    let theirs = |text| {
        let output = host.say(&workspace, &options(text), "hi").output();
        Said::by(&output.unwrap()).unwrap()
    };
    assert!(!unsupported(&theirs("be kind")));
    assert!(!unsupported(&ours("be kind")));
    assert!(unsupported(&ours("be just")));
    assert!(!unsupported(&theirs("be kind")));
    assert!(unsupported(&theirs("be just")));
}

#[test]
fn parts_of_the_request_take_the_place_of_their_words() {
    let Some(host) = JcoHost::get("parts_of_the_request_take_the_place_of_their_words") else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [script_with_any_id()]).unwrap();
    let schema = workspace.outside("schema.json");
    fs::write(&schema, r#"{"type":"object"}"#).unwrap();
    let options = [
        "--instructions",
        "a\"b\\c\nd\u{7f}",
        "--effort",
        "x-high",
        "--output-schema",
        schema.to_str().unwrap(),
    ];
    for resumed in [false, true] {
        let output = host.say(&workspace, &options, "hi").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let call = workspace.calls().unwrap().pop().unwrap();
        let at = call.argv.iter().position(|word| word == "--json").unwrap();
        let mut given = &call.argv[at + 1..];
        if !resumed {
            // Codex keeps those that the conversation began with.
            let expected = ["-c", r#"developer_instructions="a\"b\\c\nd\u007f""#];
            assert_eq!(given[..2], expected);
            given = &given[2..];
        }
        let expected = [
            "-c",
            r#"model_reasoning_effort="x-high""#,
            "--output-schema",
        ];
        assert_eq!(given[..3], expected);
        assert!(!Path::new(&given[3]).exists(), "the copy is gone");
        assert_eq!(given[4..], ["--", "hi"]);
    }
}

#[test]
fn what_no_program_can_be_given_is_refused() {
    let Some(host) = JcoHost::get("what_no_program_can_be_given_is_refused") else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [script()]).unwrap();
    // It fits as the component quotes it, on many lines, and not on one.
    let long = "\n".repeat(100_000);
    let mut say = host.say(&workspace, &["--instructions", &long], "hi");
    let said = Said::by(&say.output().unwrap()).unwrap();
    assert_eq!(said.failure_kind(), Some(FailureKind::Denied), "{said:?}");
    assert!(workspace.calls().unwrap().is_empty());
}

#[test]
fn models_and_instructions_are_configured_as_in_the_rust_host() {
    let Some(host) = JcoHost::get("models_and_instructions_are_configured_as_in_the_rust_host")
    else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [script()]).unwrap();
    let mut config = json!({ "binary": CODEX, "instructions": "ignore",
        "supported_models": [{ "id": "codex", "display_name": "Codex", "efforts": ["low"] }] });
    workspace.configure(&config).unwrap();
    for effort in ["low", "high"] {
        let options = ["--instructions", "be kind", "--effort", effort];
        let arguments = [&["--json"][..], &options, &["--", "hi"]].concat();
        let ours = Said::by(&workspace.say(arguments).output().unwrap()).unwrap();
        let theirs = Said::by(&host.say(&workspace, &options, "hi").output().unwrap()).unwrap();
        assert_eq!(theirs.failure(), ours.failure());
        assert_eq!(theirs.events.len(), ours.events.len());
    }
    for call in workspace.calls().unwrap() {
        let words = call.argv.join(" ");
        assert!(!words.contains("developer_instructions"), "{words}");
    }
    config["supported_models"][0]["colour"] = "blue".into();
    workspace.configure(&config).unwrap();
    let output = host.say(&workspace, &[], "hi").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("does not know colour"), "{stderr}");
}

#[test]
fn without_a_codex_that_stays_it_says_so_and_uses_exec() {
    let Some(host) = JcoHost::get("without_a_codex_that_stays_it_says_so_and_uses_exec") else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [script()]).unwrap();
    let config =
        json!({ "binary": CODEX, "transport": "app-server", "server": { "processes": 1 } });
    workspace.configure(&config).unwrap();
    let said = Said::by(&host.say(&workspace, &[], "hi").output().unwrap()).unwrap();
    assert_eq!(said.failure(), None);
    assert!(warns(&said.events, "keeps no codex"), "{:?}", said.events);
    assert_eq!(workspace.calls().unwrap().len(), 1);
}

#[test]
fn the_model_gets_what_the_request_holds() {
    let Some(host) = JcoHost::get("the_model_gets_what_the_request_holds") else {
        return;
    };
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let say = |options: &[&str], prompt: &str| host.say(&agent.workspace, options, prompt);
        if let Err(error) = whole_request::check(&agent, say) {
            panic!("{}: {error:#}", codex.version);
        }
    }
}

#[test]
fn a_workspace_with_a_turn_in_it_is_busy() {
    let Some(host) = JcoHost::get("a_workspace_with_a_turn_in_it_is_busy") else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [script()]).unwrap();
    workspace
        .configure(&json!({ "binary": CODEX, "limits": { "busy_seconds": 1 } }))
        .unwrap();
    // As the Rust host holds it during a turn.
    let lock = File::open(workspace.path()).unwrap();
    lock.lock().unwrap();
    let said = Said::by(&host.say(&workspace, &[], "hi").output().unwrap()).unwrap();
    assert_eq!(said.failure_kind(), Some(FailureKind::SessionBusy));
    assert!(workspace.calls().unwrap().is_empty());
    drop(lock);
    let said = Said::by(&host.say(&workspace, &[], "hi").output().unwrap()).unwrap();
    assert_eq!(said.failure_kind(), None, "{}", said.stderr);
}

#[test]
fn an_interrupted_turn_ends_in_good_order_and_codex_is_gone() {
    let Some(host) = JcoHost::get("an_interrupted_turn_ends_in_good_order_and_codex_is_gone")
    else {
        return;
    };
    // Far longer than it takes to stop it, and not forever: a host that does not stop it fails, and does not hang.
    let pause = Step::Pause { millis: 20_000 };
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        pause,
        Step::TurnCompleted,
    ];
    let workspace = Workspace::scripted(Path::new(CODEX), [steps]).unwrap();
    let mut child = host.say(&workspace, &[], "hi").spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut reported = String::new();
    stdout.read_line(&mut reported).unwrap();
    assert!(reported.contains("message_start"), "{reported}");
    // SAFETY: it only sends a signal, to a child that has not been waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    stdout.read_to_string(&mut reported).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let end: Value = serde_json::from_str(reported.lines().last().unwrap()).unwrap();
    assert_eq!(end["stop_reason"], "aborted");
    assert_eq!(end["failure"]["kind"], "killed");
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
}

/// A stored thread, and the parts that a request holds.
type Held<'a> = (Option<&'a str>, RequestWords);

#[test]
fn its_grant_is_that_of_the_rust_host() {
    let Some(host) = JcoHost::get("its_grant_is_that_of_the_rust_host") else {
        return;
    };
    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
    let parts = |instructions, effort, output_schema| RequestWords {
        instructions,
        effort,
        output_schema,
    };
    let held: [Held<'_>; 4] = [
        (None, RequestWords::ALL),
        (Some(ID), RequestWords::ALL),
        (Some(ID), parts(true, false, true)),
        (Some("--last"), parts(false, true, false)),
    ];
    let mut batches = Vec::new();
    let mut expected = Vec::new();
    for sandbox in [
        Sandbox::DangerFullAccess,
        Sandbox::WorkspaceWrite,
        Sandbox::ReadOnly,
    ] {
        let mut config = Config {
            sandbox,
            extra_args: vec!["-c".into(), "a=1".into()],
            ..Config::default()
        };
        config.supported_models.push("m".into());
        let grant = Grant::new(&config);
        let models = grant.models().iter().map(|(id, args)| {
            let own = &args[..args.len() - config.extra_args.len()];
            json!({ "id": id, "args": own })
        });
        let settings = json!({
            "models": models.collect::<Vec<_>>(),
            "extraArgs": config.extra_args,
            "sandbox": serde_json::to_value(sandbox).unwrap(),
        });
        let calls = calls(&config, ID);
        for (stored, request) in held {
            for prompt_on_stdin in [false, true] {
                let call = Call {
                    prompt_on_stdin,
                    stored,
                    request,
                    ..Call::default()
                };
                expected.extend(calls.iter().map(|args| grant.check(args, &call).is_ok()));
                batches.push(json!({
                    "calls": calls,
                    "prompt_on_stdin": prompt_on_stdin,
                    "settings": settings,
                    "stored": stored,
                    "parts": named(request),
                }));
            }
        }
    }
    let mut grant = host.test("grant.mjs");
    grant.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut grant = grant.spawn().unwrap();
    let text = Value::from(batches.clone()).to_string();
    grant
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = grant.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), expected.len());
    let cases = batches.iter().flat_map(|batch| {
        let calls = batch["calls"].as_array().unwrap();
        calls.iter().map(move |call| (batch, call))
    });
    for (((batch, call), answer), expected) in cases.zip(&answers).zip(&expected) {
        assert_eq!(
            answer, expected,
            "{call}, {} {}",
            batch["stored"], batch["parts"]
        );
    }
    let allowed = expected.iter().filter(|allowed| **allowed).count();
    assert!(
        allowed > 100 && allowed < expected.len() / 2,
        "{allowed} of {} are allowed",
        expected.len()
    );
}

/// The parts as the host in Node.js holds them.
fn named(request: RequestWords) -> Value {
    let mut parts = serde_json::Map::new();
    for (name, held) in [
        ("instructions", request.instructions),
        ("effort", request.effort),
        ("outputSchema", request.output_schema),
    ] {
        if held {
            parts.insert(name.to_owned(), "x".into());
        }
    }
    parts.into()
}

/// Argument lists that are allowed under `config`, and those that differ from them in one place.
fn calls(config: &Config, id: &str) -> Vec<Vec<String>> {
    let flags: &[&str] = match config.sandbox {
        Sandbox::DangerFullAccess => &["--dangerously-bypass-approvals-and-sandbox"],
        Sandbox::WorkspaceWrite => &["-c", "sandbox_mode=\"workspace-write\""],
        Sandbox::ReadOnly => &["-c", "sandbox_mode=\"read-only\""],
    };
    let [instructions, effort, schema] = RequestWord::ALL.map(RequestWord::words);
    let parts = [
        instructions.to_vec(),
        effort.to_vec(),
        [instructions, effort, schema].concat(),
        [instructions, schema].concat(),
        // Never allowed: in another order, twice, or with a value of the component's own.
        [effort, instructions].concat(),
        [effort, effort].concat(),
        vec!["-c", "developer_instructions=x"],
        vec!["--output-schema", "/etc/passwd"],
    ];
    let prompts = ["hello", "--help", "-", "", "--"];
    let endings = prompts.map(|prompt| (Vec::new(), prompt)).into_iter();
    let endings = endings.chain(parts.map(|parts| (parts, "hello")));
    let endings: Vec<(Vec<&str>, &str)> = endings.collect();
    let mut lists = Vec::new();
    for thread in [&[][..], &["resume", id][..]] {
        for model in [&[][..], &["--model", "m"][..]] {
            for (parts, prompt) in &endings {
                let list: Vec<&str> = [
                    &["exec"],
                    thread,
                    &["--skip-git-repo-check"],
                    flags,
                    &["--json"],
                    model,
                    &["-c", "a=1"],
                    parts,
                    &["--", prompt],
                ]
                .concat();
                lists.push(list);
            }
        }
    }
    let mut all = lists.clone();
    for list in lists {
        for at in 0..list.len() {
            let mut without = list.clone();
            without.remove(at);
            all.push(without);
            for word in ["-", "--", "--json", "-c", "/etc/passwd", "-i"] {
                let mut replaced = list.clone();
                replaced.splice(at..=at, [word]);
                all.push(replaced);
                let mut longer = list.clone();
                longer.insert(at, word);
                all.push(longer);
            }
        }
    }
    all.push(Vec::new());
    all.push(vec!["exec", "NUL \0"]);
    let owned = all
        .into_iter()
        .map(|list| list.into_iter().map(str::to_owned).collect());
    owned.collect()
}
