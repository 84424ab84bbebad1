//! What is said about messages, good and bad.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;

use plexum_openai_provider::{COMPONENT, Config, Event, Provider, StopReason};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::json_rpc::garbage::{garbage, survives, survives_long_lines};
use plexum_openai_provider_tests::wait::{unread, wait_until};
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};

use super::client::{Server, fake_codex, scripted};

fn workspace() -> Workspace {
    Workspace::new(fake_codex()).unwrap()
}

#[test]
fn initialize_reports_what_runs() {
    let workspace = workspace();
    workspace
        .configure(&json!({ "binary": fake_codex(), "supported_models": ["a", {
            "id": "b",
            "display_name": "Bee",
            "context_window": 272_000,
            "images": false,
            "efforts": ["low", "high"],
        }] }))
        .unwrap();
    let mut server = Server::start(&workspace);
    let client = json!({ "name": "test", "version": "1" });
    let result = server.call(
        "initialize",
        json!({ "protocolVersion": 1, "clientInfo": client, "capabilities": {} }),
    );
    let provider = Provider::with_component(Config::default(), COMPONENT).unwrap();
    assert_eq!(
        result,
        json!({
            "protocolVersion": 1,
            "serverInfo": { "name": "plexum-openai-provider", "version": "0.1.0" },
            "component": {
                "id": "plexum-openai-provider",
                "version": "0.1.0",
                "sha256": provider.component_sha256(),
            },
            "capabilities": {
                "provider": ["images", "resumable", "instructions", "structured_output", "effort"],
                "imageSources": ["path", "base64"],
                "maxLineBytes": 67_108_864,
            },
        })
    );
    assert_eq!(
        server.call("models/list", json!({})),
        json!({ "models": [
            { "id": "a", "default": true, "images": true, "efforts": [] },
            {
                "id": "b",
                "default": false,
                "displayName": "Bee",
                "contextWindow": 272_000,
                "images": false,
                "efforts": ["low", "high"],
            },
        ] })
    );
    assert_eq!(server.call("ping", Value::Null), json!({}));
    assert_eq!(
        server.refused("initialize", json!({ "protocolVersion": 1 })),
        -32600
    );
}

#[test]
fn before_initialize_nothing_else_is_answered() {
    let workspace = workspace();
    let mut server = Server::start(&workspace);
    for method in [
        "ping",
        "models/list",
        "metrics/get",
        "turn/start",
        "turn/cancel",
        "shutdown",
        "nonsense",
    ] {
        assert_eq!(server.refused(method, json!({})), -32002, "{method}");
    }
    assert_eq!(
        server.refused("initialize", json!({ "protocolVersion": 2 })),
        -32602
    );
    assert_eq!(server.refused("ping", json!({})), -32002);
    server.call("initialize", json!({ "protocolVersion": 1 }));
    server.call("ping", json!({}));
}

#[test]
fn garbage_of_every_kind_is_answered_and_the_next_request_too() {
    let deep_params = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"turn/start","params":{{"messages":{}}}}}"#,
        "[".repeat(500) + &"]".repeat(500)
    );
    let besides = [
        (&*deep_params, -32602),
        (r#"{"jsonrpc":"2.0","id":7,"method":"turn/start"}"#, -32602),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"turn/cancel","params":{"turnId":"x"}}"#,
            -32003,
        ),
    ];
    let besides = besides.map(|(line, code)| garbage(line, json!(7), code));
    let workspace = workspace();
    let mut server = Server::initialized(&workspace);
    survives(&mut server, "ping", besides.into());
    server.line(r#"{"jsonrpc":"2.0","method":"turn/start","params":{}}"#);
    server.still_answers("ping");
}

#[test]
fn a_line_that_is_too_long_is_left_out() {
    let workspace = workspace();
    survives_long_lines(&mut Server::initialized(&workspace), "ping");
}

#[test]
fn a_byte_order_mark_before_the_first_message_is_no_part_of_it() {
    let workspace = workspace();
    let mut server = Server::start(&workspace);
    let message =
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}"#;
    server.line(&format!("\u{feff}{message}"));
    let answer = server.receive();
    assert_eq!(answer["id"], 1, "{answer}");
    assert_eq!(answer["result"]["protocolVersion"], 1, "{answer}");
}

/// What standard input or output is: our end and the program's. In a file they are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stream {
    Pipe,
    /// A pipe with a name, for which the kernel has fewer calls.
    Fifo,
    Socket,
    File,
}

impl Stream {
    const KINDS: [Self; 4] = [Stream::Pipe, Stream::Fifo, Stream::Socket, Stream::File];

    /// The end that reads, and the one that writes.
    fn ends(self) -> (File, OwnedFd) {
        let (read, write): (OwnedFd, OwnedFd) = match self {
            Stream::Pipe => {
                let (read, write) = io::pipe().unwrap();
                (read.into(), write.into())
            }
            Stream::Fifo => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("fifo");
                let made = Command::new("mkfifo").arg(&path).status().unwrap();
                assert!(made.success());
                // Neither end waits for the other while this is open.
                let _both = File::options().read(true).write(true).open(&path);
                let write = File::options().write(true).open(&path).unwrap();
                (File::open(&path).unwrap().into(), write.into())
            }
            Stream::Socket => {
                let (read, write) = UnixStream::pair().unwrap();
                (read.into(), write.into())
            }
            Stream::File => {
                let file = tempfile::tempfile().unwrap();
                (file.try_clone().unwrap().into(), file.into())
            }
        };
        (read.into(), write)
    }
}

#[test]
fn standard_input_and_output_may_be_of_any_kind() {
    // More than a pipe or a socket holds, so that the server has to wait for its client too.
    const PINGS: usize = 10_000;
    let workspace = workspace();
    let mut said =
        json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": 1 } })
            .to_string();
    for id in 1..=PINGS {
        said += &format!("\n{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}");
    }
    let kinds = Stream::KINDS.iter();
    for (input, output) in kinds.flat_map(|input| Stream::KINDS.map(|output| (*input, output))) {
        let (mut stdin, ours) = input.ends();
        let mut ours = File::from(ours);
        let (mut answers, stdout) = output.ends();
        let said = said.clone();
        let mut say = move || {
            ours.write_all(said.as_bytes()).unwrap();
        };
        if input == Stream::File {
            say();
            stdin.rewind().unwrap();
        } else {
            // If the server does not read, nobody waits for this.
            thread::spawn(say);
        }
        let mut command = Command::new(program());
        command.arg("serve").arg("--config").arg(workspace.config());
        command.env("XDG_STATE_HOME", workspace.state_home());
        let mut server = command.stdin(stdin).stdout(stdout).spawn().unwrap();
        // It has the program's ends too.
        drop(command);
        let mut read = String::new();
        if output == Stream::File {
            assert!(server.wait().unwrap().success());
            answers.rewind().unwrap();
        } else {
            wait_until("the server waits for its client", || {
                unread(&answers) > 32 << 10
            });
        }
        answers.read_to_string(&mut read).unwrap();
        assert!(server.wait().unwrap().success());
        let ids = read.lines().map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            answer["id"].as_u64().unwrap()
        });
        assert!(ids.eq(0..=PINGS as u64), "{input:?} {output:?}");
    }
}

#[test]
fn ids_come_back_byte_for_byte() {
    let workspace = workspace();
    let mut server = Server::initialized(&workspace);
    for id in [
        "0",
        "-1",
        "1.50",
        "1E+2",
        "123456789012345678901234567890",
        r#""""#,
        r#""\u00e9\/é""#,
        "null",
    ] {
        server.line(&format!(r#"{{"method":"ping","jsonrpc":"2.0","id":{id}}}"#));
        assert_eq!(
            server.read(),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
        );
        server.line(&format!(
            r#"{{"method":"turn/cancel","jsonrpc":"2.0","id":{id}}}"#
        ));
        let prefix = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"#);
        assert!(server.read().starts_with(&prefix));
    }
}

#[test]
fn a_notification_is_done_and_not_answered() {
    let workspace = scripted([
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        Step::Forever,
    ]);
    let mut server = Server::initialized(&workspace);
    server.line(
        &json!({
            "jsonrpc": "2.0",
            "method": "turn/start",
            "params": { "workspace": workspace.path(), "prompt": "x" },
        })
        .to_string(),
    );
    server.until("turn-1", Some("here"));
    server.line(r#"{"jsonrpc":"2.0","method":"turn/cancel","params":{"turnId":"turn-1"}}"#);
    let events = server.until("turn-1", None);
    let Some(Event::MessageEnd { stop_reason, .. }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(*stop_reason, StopReason::Aborted);
    server.line(r#"{"jsonrpc":"2.0","method":"shutdown"}"#);
    assert_eq!(server.end(), (Some(0), String::new(), String::new()));
}

#[test]
fn an_image_of_many_megabytes_fits_into_a_message() {
    const BYTES: usize = 15 * 1024 * 1024;
    let workspace = workspace();
    let mut server = Server::initialized(&workspace);
    // A GIF of one point in base64, and nothing but zeroes behind it.
    let picture = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADsA";
    let data = format!("{picture}{}", "A".repeat(BYTES / 3 * 4 - picture.len()));
    let image = json!({ "type": "image", "source": { "type": "base64", "data": data } });
    let text = json!({ "type": "text", "text": "what is this?" });
    let messages = json!([{ "role": "user", "content": [image, text] }]);
    let params = json!({ "workspace": workspace.path(), "messages": messages });
    let result = server.call("turn/start", params);
    let events = server.until(result["turnId"].as_str().unwrap(), None);
    let Some(Event::MessageEnd {
        stop_reason: StopReason::EndTurn,
        ..
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    let argv = &workspace.calls().unwrap()[0].argv;
    assert!(argv.contains(&"-i".to_owned()), "{argv:?}");
}
