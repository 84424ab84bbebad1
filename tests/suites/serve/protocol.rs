//! What is said about messages, good and bad.

use plexum_openai_provider::{COMPONENT, Config, Event, Provider, StopReason};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::workspace::Workspace;
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
    let deep = "[".repeat(200_000);
    let deep_params = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"turn/start","params":{{"messages":{}}}}}"#,
        "[".repeat(500) + &"]".repeat(500)
    );
    let long_name = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"{}"}}"#,
        "x".repeat(1_000_000)
    );
    let garbage: &[(&[u8], Value, i64)] = &[
        (b"hello", Value::Null, -32700),
        (b"\0", Value::Null, -32700),
        (b"\xff\xfe\xfd", Value::Null, -32700),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"pi\xc3ng\"}",
            Value::Null,
            -32700,
        ),
        (b"{", Value::Null, -32700),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":",
            Value::Null,
            -32700,
        ),
        (b"Content-Length: 52\r", Value::Null, -32700),
        (deep.as_bytes(), Value::Null, -32700),
        (b"7", Value::Null, -32600),
        (b"null", Value::Null, -32600),
        (b"\"ping\"", Value::Null, -32600),
        (b"[]", Value::Null, -32600),
        (
            br#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#,
            Value::Null,
            -32600,
        ),
        (br#"["2.0",7,"ping"]"#, Value::Null, -32600),
        (b"{}", Value::Null, -32600),
        (br#"{"id":7,"method":"ping"}"#, json!(7), -32600),
        (
            br#"{"jsonrpc":"2.0","id":7,"method":null}"#,
            json!(7),
            -32600,
        ),
        (
            br#"{"jsonrpc":"2.0","id":[7],"method":"ping"}"#,
            Value::Null,
            -32600,
        ),
        (
            br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":"x"}"#,
            json!(7),
            -32600,
        ),
        (
            br#"{"jsonrpc":"2.0","id":7,"method":"Ping"}"#,
            json!(7),
            -32601,
        ),
        (br#"{"jsonrpc":"2.0","id":7,"method":""}"#, json!(7), -32601),
        (long_name.as_bytes(), json!(7), -32601),
        (
            br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":[1]}"#,
            json!(7),
            -32602,
        ),
        (deep_params.as_bytes(), json!(7), -32602),
        (
            br#"{"jsonrpc":"2.0","id":7,"method":"turn/start"}"#,
            json!(7),
            -32602,
        ),
        (
            br#"{"jsonrpc":"2.0","id":7,"method":"turn/cancel","params":{"turnId":"x"}}"#,
            json!(7),
            -32003,
        ),
    ];
    let workspace = workspace();
    let mut server = Server::initialized(&workspace);
    for (line, id, code) in garbage {
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        server.write(&[line, b"\n \r\n\n".as_slice()].concat());
        let answer = server.receive();
        assert_eq!(answer["jsonrpc"], "2.0", "{shown}");
        assert_eq!(&answer["id"], id, "{shown}: {answer}");
        assert_eq!(answer["error"]["code"], *code, "{shown}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && message.len() < 2000,
            "{shown}: {message}"
        );
        server.call("ping", json!({}));
    }
    // Answering these could go on forever, or is forbidden.
    for line in [
        r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","method":"nonsense"}"#,
        r#"{"jsonrpc":"2.0","method":"turn/start","params":{}}"#,
    ] {
        server.line(line);
        server.call("ping", json!({}));
    }
}

#[test]
fn a_line_that_is_too_long_is_left_out() {
    const MIB: usize = 1024 * 1024;
    let workspace = workspace();
    let mut server = Server::initialized(&workspace);
    server.write(br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":""#);
    for _ in 0..80 {
        server.write(&vec![b'x'; MIB]);
    }
    server.write(b"\"}}\n");
    let answer = server.receive();
    assert_eq!(answer["id"], Value::Null);
    assert_eq!(answer["error"]["code"], -32004);
    assert_eq!(answer["error"]["data"]["bytes"], 80 * MIB + 58);
    assert_eq!(answer["error"]["data"]["maxBytes"], 64 * MIB);
    server.call("ping", json!({}));
    // What still fits is read.
    server.write(br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":""#);
    for _ in 0..63 {
        server.write(&vec![b'x'; MIB]);
    }
    server.write(b"\"}}\n");
    assert_eq!(
        server.receive(),
        json!({ "jsonrpc": "2.0", "id": 7, "result": {} })
    );
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
