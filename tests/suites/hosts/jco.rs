//! The very same component in another host: Node.js with jco (`host-shim/examples/jco`). What it makes
//! of every transcript, what it prints, and what it refuses are those of the Rust host.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use plexum_openai_provider::config::Sandbox;
use plexum_openai_provider::grant::{Call, Grant};
use plexum_openai_provider::{COMPONENT, Config, FailureKind, LOCK_FILE};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::once;
use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::tool::{jco_modules, node};
use plexum_openai_provider_tests::transcript::{difference, recordings};
use plexum_openai_provider_tests::wait::is_running;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host-shim/examples/jco");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/hosts");
const CODEX: &str = env!("CARGO_BIN_EXE_fake-codex");

/// A copy of the example, as a runtime author makes one, with the component transpiled.
struct Host {
    node: PathBuf,
    folder: PathBuf,
}

impl Host {
    /// The one of this test program; nothing where its tools are missing, so that the test `name` is to be
    /// skipped.
    fn get(name: &str) -> Option<&'static Host> {
        static HOST: OnceLock<Host> = OnceLock::new();
        let node = node(name)?;
        let modules = jco_modules(name)?;
        Some(HOST.get_or_init(|| Host::new(node, &modules)))
    }

    fn new(node: PathBuf, modules: &Path) -> Self {
        let mut files = BTreeMap::new();
        for file in fs::read_dir(EXAMPLE).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                files.insert(file.file_name(), fs::read(file.path()).unwrap());
            }
        }
        let mut key = DefaultHasher::new();
        (&files, COMPONENT, &node, modules).hash(&mut key);
        let host = Host {
            node,
            folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("jco"),
        };
        once::folder(&host.folder, &key.finish().to_string(), |folder| {
            for (name, content) in &files {
                fs::write(folder.join(name), content).unwrap();
            }
            std::os::unix::fs::symlink(modules, folder.join("node_modules")).unwrap();
            let component = folder.join("component.wasm");
            fs::write(&component, COMPONENT).unwrap();
            let mut transpile = host.run("transpile.mjs");
            transpile.arg(component).arg(host.component());
            succeed(&mut transpile);
        });
        host
    }

    fn component(&self) -> PathBuf {
        self.folder.join("transpiled")
    }

    /// A script of the example, to be completed.
    fn run(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command
            .arg(self.folder.join(script))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .default_signals();
        command
    }

    /// A script of `tests/suites/hosts`, which imports the example; to be completed.
    fn test(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command
            .arg(Path::new(SCRIPTS).join(script))
            .arg(&self.folder);
        command
    }

    /// What `say --json` is in the Rust host.
    fn say(&self, workspace: &Workspace, prompt: &str) -> Command {
        let mut command = self.run("host.mjs");
        command
            .arg("--component")
            .arg(self.component())
            .arg("--config")
            .arg(workspace.config())
            .arg("--workspace")
            .arg(workspace.path())
            .args(["--", prompt]);
        command
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{stderr}");
    output
}

#[test]
fn every_transcript_becomes_the_same_events_as_in_the_rust_host() {
    let Some(host) = Host::get("every_transcript_becomes_the_same_events_as_in_the_rust_host")
    else {
        return;
    };
    // As the test `transcripts` configures its host.
    let config = host.folder.join("transcripts.json");
    let keys = json!({ "binary": CODEX, "lost_session": "fail", "limits": { "busy_seconds": 1 } });
    fs::write(&config, keys.to_string()).unwrap();
    let recordings = recordings().unwrap();
    let workspaces: Vec<TempDir> = recordings
        .iter()
        .map(|recording| recording.workspace().unwrap())
        .collect();
    let mut turns = host.test("turns.mjs");
    turns.arg(host.component()).arg(config);
    turns.args(workspaces.iter().map(TempDir::path));
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

#[test]
fn its_command_prints_what_say_json_prints() {
    let Some(host) = Host::get("its_command_prints_what_say_json_prints") else {
        return;
    };
    let failing = Step::failed_turn("unexpected status 401 Unauthorized").to_vec();
    for (steps, code) in [(script(), 0), (failing, 1)] {
        // In one workspace, so that a thread without a fixed id is resumed the second and the third time.
        let workspace = Workspace::scripted(Path::new(CODEX), [steps]).unwrap();
        host.say(&workspace, "first").output().unwrap();
        let ours = workspace.say(["--json", "--", "hi"]).output().unwrap();
        let theirs = host.say(&workspace, "hi").output().unwrap();
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
    let Some(host) = Host::get("a_conversation_goes_on_from_host_to_host") else {
        return;
    };
    let workspace = Workspace::scripted(
        Path::new(CODEX),
        [vec![
            Step::ThreadStarted,
            Step::TurnStarted,
            Step::Echo,
            Step::TurnCompleted,
        ]],
    )
    .unwrap();
    let first = workspace.turn(None, "one").unwrap();
    let second = Said::by(&host.say(&workspace, "two").output().unwrap()).unwrap();
    let third = workspace.turn(None, "three").unwrap();
    let (thread, resumed) = first.start().unwrap();
    assert!(!resumed);
    for (later, said) in [(&second, "echo: two"), (&third, "echo: three")] {
        assert_eq!(later.start(), Some((thread, true)));
        assert_eq!(later.text(), said);
        assert_eq!(later.usage().0, first.usage().0, "the usage of one turn");
    }
}

#[test]
fn a_workspace_with_a_turn_in_it_is_busy() {
    let Some(host) = Host::get("a_workspace_with_a_turn_in_it_is_busy") else {
        return;
    };
    let workspace = Workspace::scripted(Path::new(CODEX), [script()]).unwrap();
    workspace
        .configure(&json!({ "binary": CODEX, "limits": { "busy_seconds": 1 } }))
        .unwrap();
    // As the Rust host holds it during a turn.
    let lock = File::create(workspace.path().join(LOCK_FILE)).unwrap();
    lock.lock().unwrap();
    let said = Said::by(&host.say(&workspace, "hi").output().unwrap()).unwrap();
    assert_eq!(said.failure_kind(), Some(FailureKind::SessionBusy));
    assert!(workspace.calls().unwrap().is_empty());
    drop(lock);
    let said = Said::by(&host.say(&workspace, "hi").output().unwrap()).unwrap();
    assert_eq!(said.failure_kind(), None, "{}", said.stderr);
}

#[test]
fn an_interrupted_turn_ends_in_good_order_and_codex_is_gone() {
    let Some(host) = Host::get("an_interrupted_turn_ends_in_good_order_and_codex_is_gone") else {
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
    let mut child = host.say(&workspace, "hi").spawn().unwrap();
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

#[test]
fn its_grant_is_that_of_the_rust_host() {
    let Some(host) = Host::get("its_grant_is_that_of_the_rust_host") else {
        return;
    };
    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
    let mut cases = Vec::new();
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
        for args in calls(&config, ID) {
            for stored in [None, Some(ID), Some("--last")] {
                for prompt_on_stdin in [false, true] {
                    let call = Call {
                        prompt_on_stdin,
                        stored,
                        images: 0,
                    };
                    expected.push(grant.check(&args, &call).is_ok());
                    cases.push(json!({
                        "args": args,
                        "prompt_on_stdin": prompt_on_stdin,
                        "settings": settings,
                        "stored": stored,
                    }));
                }
            }
        }
    }
    let mut grant = host.test("grant.mjs");
    grant.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut grant = grant.spawn().unwrap();
    let text = Value::from(cases.clone()).to_string();
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
    for ((case, answer), expected) in cases.iter().zip(&answers).zip(&expected) {
        assert_eq!(answer, expected, "{case}");
    }
    let allowed = expected.iter().filter(|allowed| **allowed).count();
    assert!(
        allowed > 100 && allowed < expected.len() / 2,
        "{allowed} of {} are allowed",
        expected.len()
    );
}

/// Argument lists that are allowed under `config`, and those that differ from them in one place.
fn calls(config: &Config, id: &str) -> Vec<Vec<String>> {
    let flags: &[&str] = match config.sandbox {
        Sandbox::DangerFullAccess => &["--dangerously-bypass-approvals-and-sandbox"],
        Sandbox::WorkspaceWrite => &["-c", "sandbox_mode=\"workspace-write\""],
        Sandbox::ReadOnly => &["-c", "sandbox_mode=\"read-only\""],
    };
    let mut lists = Vec::new();
    for thread in [&[][..], &["resume", id][..]] {
        for model in [&[][..], &["--model", "m"][..]] {
            for prompt in ["hello", "--help", "-", "", "--"] {
                let list: Vec<&str> = [
                    &["exec"],
                    thread,
                    &["--skip-git-repo-check"],
                    flags,
                    &["--json"],
                    model,
                    &["-c", "a=1", "--", prompt],
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
    let owned = all
        .into_iter()
        .map(|list| list.into_iter().map(str::to_owned).collect());
    owned.collect()
}
