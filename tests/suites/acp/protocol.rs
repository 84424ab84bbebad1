//! What is said about messages, good and bad.

use plexum_openai_provider_tests::json_rpc::garbage::{garbage, survives, survives_long_lines};
use serde_json::json;

use super::client::{Agent, over_exec, scripted};

#[test]
fn initialize_says_what_the_agent_can_do() {
    let workspace = scripted([]);
    let mut agent = Agent::start(&workspace);
    let capabilities = json!({ "fs": { "readTextFile": true, "writeTextFile": true }, "terminal": true, "auth": { "terminal": true } });
    let result = agent.call(
        "initialize",
        json!({ "protocolVersion": 1, "clientCapabilities": capabilities, "clientInfo": { "name": "test", "version": "1" } }),
    );
    assert_eq!(
        result,
        json!({
            "protocolVersion": 1,
            "agentCapabilities": {
                "loadSession": true,
                "promptCapabilities": { "image": true, "audio": false, "embeddedContext": true },
                "mcpCapabilities": { "http": false, "sse": false },
                "sessionCapabilities": { "resume": {}, "list": {}, "close": {}, "delete": {} },
            },
            "authMethods": [{
                "type": "terminal",
                "id": "codex-login",
                "name": "codex login",
                "description": "Log in to codex in a terminal",
                "args": ["--login"],
            }],
            "agentInfo": {
                "name": "plexum-openai-provider",
                "title": "Codex in Plexum's sandbox",
                "version": env!("CARGO_PKG_VERSION"),
            },
        })
    );
    // The version is ours, whatever was asked for; a client may ask again.
    let result = agent.call("initialize", json!({ "protocolVersion": 2 }));
    assert_eq!(result["protocolVersion"], 1);
    assert_eq!(result["authMethods"][0].get("type"), None);
    agent.call("authenticate", json!({ "methodId": "codex-login" }));
    let error = agent.refused("authenticate", json!({ "methodId": "x" }));
    assert_eq!(error["code"], -32602);
}

#[test]
fn before_initialize_nothing_else_is_answered() {
    let workspace = scripted([]);
    let mut agent = Agent::start(&workspace);
    for method in ["session/new", "session/list", "authenticate", "nonsense"] {
        let error = agent.refused(method, json!({}));
        assert_eq!(error["code"], -32600, "{method}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("send `initialize` first"), "{message}");
    }
    let error = agent.refused("initialize", json!({}));
    assert_eq!(error["code"], -32602);
    agent.call("initialize", json!({ "protocolVersion": 1 }));
    agent.call("session/list", json!({}));
}

#[test]
fn garbage_of_every_kind_is_answered_and_the_next_request_too() {
    let deep_params = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"session/prompt","params":{{"sessionId":"x","prompt":{}}}}}"#,
        "[".repeat(500) + &"]".repeat(500)
    );
    let besides = [
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"session/set_mode","params":{"sessionId":"x"}}"#,
            -32601,
        ),
        (&deep_params, -32602),
        (r#"{"jsonrpc":"2.0","id":7,"method":"session/new"}"#, -32602),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"session/new","params":{"cwd":"w","mcpServers":[]}}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"session/prompt","params":{"sessionId":"x","prompt":[]}}"#,
            -32002,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"session/close","params":{"sessionId":"x"}}"#,
            -32002,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"session/resume","params":{"sessionId":"../x","cwd":"/","mcpServers":[]}}"#,
            -32002,
        ),
    ];
    let besides = besides.map(|(line, code)| garbage(line, json!(7), code));
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    survives(&mut agent, "session/list", besides.into());
    for line in [
        r#"{"jsonrpc":"2.0","method":"session/prompt","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"x"}}"#,
        r#"{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":12}}"#,
    ] {
        agent.line(line);
        agent.still_answers("session/list");
    }
}

#[test]
fn a_line_that_is_too_long_is_left_out() {
    let workspace = scripted([]);
    survives_long_lines(&mut Agent::initialized(&workspace), "session/list");
}

#[test]
fn ids_come_back_byte_for_byte_and_a_byte_order_mark_is_no_part_of_a_message() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    for id in [
        "0",
        "1.50",
        "1E+2",
        "123456789012345678901234567890",
        r#""""#,
        r#""\u00e9\/é""#,
        "null",
    ] {
        agent.line(&format!(
            "\u{feff}{{\"method\":\"session/list\",\"jsonrpc\":\"2.0\",\"id\":{id}}}"
        ));
        let prefix = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"sessions":"#);
        assert!(agent.read().starts_with(&prefix));
    }
}

#[test]
fn what_there_is_to_choose_is_offered_and_reaches_codex() {
    let workspace = scripted([]);
    let alone = Agent::initialized(&workspace).call(
        "session/new",
        json!({ "cwd": workspace.path(), "mcpServers": [] }),
    );
    assert_eq!(alone.get("configOptions"), None);
    over_exec(
        &workspace,
        &json!({ "supported_models": ["codex", { "id": "b", "display_name": "Bee", "efforts": ["low", "high"] }] }),
    );
    let mut agent = Agent::initialized(&workspace);
    let params = json!({ "cwd": workspace.path(), "mcpServers": [] });
    let opened = agent.call("session/new", params);
    let models = json!({
        "type": "select", "id": "model", "name": "Model", "category": "model", "currentValue": "codex",
        "options": [{ "value": "codex", "name": "codex" }, { "value": "b", "name": "Bee" }],
    });
    assert_eq!(opened["configOptions"], json!([models]));
    let session = opened["sessionId"].as_str().unwrap().to_owned();
    let mut choose = |option: &str, value: &str| {
        let params = json!({ "sessionId": session, "configId": option, "value": value });
        let id = agent.ask("session/set_config_option", params);
        agent.answer(id)
    };
    for (option, value, said) in [
        (
            "effort",
            "high",
            "there is no such option; the options are model",
        ),
        (
            "model",
            "c",
            "there is no such value; the values are codex, b",
        ),
    ] {
        let message = choose(option, value)["error"]["message"].clone();
        assert!(message.as_str().unwrap().contains(said), "{message}");
    }
    assert_eq!(
        choose("model", "b")["result"]["configOptions"][1]["currentValue"],
        "default"
    );
    assert_eq!(
        choose("effort", "high")["result"]["configOptions"][1]["currentValue"],
        "high"
    );
    let (_, answer) = agent.turn(&session, "hello");
    assert_eq!(answer["result"]["stopReason"], "end_turn", "{answer}");
    // Another agent goes on with what was chosen.
    agent.stdin = None;
    agent.end();
    let mut agent = Agent::initialized(&workspace);
    let resumed = agent.resume(&session, workspace.path());
    let values = resumed["configOptions"].as_array().unwrap().iter();
    let values: Vec<_> = values.map(|option| &option["currentValue"]).collect();
    assert_eq!(values, ["b", "high"]);
    agent.turn(&session, "again");
    let argv = workspace.calls().unwrap().pop().unwrap().argv.join(" ");
    assert!(argv.contains("--model b"), "{argv}");
    assert!(
        argv.contains("model_reasoning_effort=") && argv.contains("high"),
        "{argv}"
    );
}
