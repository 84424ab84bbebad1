//! MCP servers: those that the operator has given to codex, and no others.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use plexum_openai_provider_tests::agent::Agent as Real;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use serde_json::json;

use super::client::{Agent, on_real_codex, over_exec, scripted};

#[test]
fn a_client_gets_the_servers_that_codex_has_and_is_told_how_to_add_others() {
    let server = env!("CARGO_BIN_EXE_mcp-server");
    side_by_side(real_codex!(), |codex| {
        let real = Real::new(&codex).unwrap();
        let toml = format!(
            "[mcp_servers.lab]\ncommand = {server:?}\nargs = [\"-x\"]\nenv = {{ A = \"b\" }}\n"
        );
        real.home.append_config(&toml).unwrap();
        let mut agent = Agent::of(&real);
        let wanted = |server: serde_json::Value| json!({ "cwd": real.workspace.path(), "mcpServers": [server] });
        let variable = |value: &str| json!([{ "name": "A", "value": value }]);
        for (args, env) in [(json!(["-x"]), json!([])), (json!(["-x"]), variable("b"))] {
            let server = json!({ "name": "any", "command": server, "args": args, "env": env });
            agent.call("session/new", wanted(server));
        }
        for (refused, command) in [
            (
                json!({ "name": "lab", "command": server, "args": ["-y z"], "env": [] }),
                format!("codex mcp add lab -- {server} '-y z'"),
            ),
            (
                json!({ "name": "lab", "command": server, "args": ["-x"], "env": variable("secret") }),
                format!("codex mcp add lab --env A=… -- {server} -x"),
            ),
            (
                json!({ "type": "http", "name": "web", "url": "http://127.0.0.1:1/mcp", "headers": variable("secret") }),
                "codex does not tell whether it has one with these headers".to_owned(),
            ),
            (
                json!({ "type": "sse", "name": "web", "url": "http://127.0.0.1:1/sse", "headers": [] }),
                "(`acp --leave-out-mcp-servers`), as codex has no servers over SSE".to_owned(),
            ),
            (
                json!({ "type": "http", "name": "web", "url": "http://127.0.0.1:1/mcp", "headers": [] }),
                "codex mcp add web --url http://127.0.0.1:1/mcp".to_owned(),
            ),
        ] {
            let error = agent.refused("session/new", wanted(refused));
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&command), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    });
}

#[test]
fn a_codex_that_does_not_say_what_it_has_does_not_hold_up_the_end() {
    let workspace = scripted([]);
    let hanging = workspace.outside("hanging");
    let began = workspace.outside("began");
    let script = format!(
        "#!/bin/sh\nsleep 1000 &\necho $! > {0}.new\nmv {0}.new {0}\nsleep 1000\n",
        began.display()
    );
    fs::write(&hanging, script).unwrap();
    fs::set_permissions(&hanging, Permissions::from_mode(0o755)).unwrap();
    over_exec(&workspace, &json!({ "binary": hanging }));
    let mut agent = Agent::initialized(&workspace);
    let server = json!({ "name": "x", "command": "/bin/x", "args": [], "env": [] });
    let params = json!({ "cwd": workspace.path(), "mcpServers": [server] });
    agent.ask("session/new", params);
    wait_until("codex is asked", || began.exists());
    let left = fs::read_to_string(&began).unwrap().trim().parse().unwrap();
    let asked = Instant::now();
    agent.signal(libc::SIGTERM);
    assert_eq!(agent.end().0, Some(0));
    // Codex has ten seconds to answer.
    assert!(
        asked.elapsed() < Duration::from_secs(9),
        "{:?}",
        asked.elapsed()
    );
    wait_until("nothing is left", || !is_running(left));
}

#[test]
fn an_agent_that_leaves_servers_out_says_which() {
    side_by_side(real_codex!(), |codex| {
        let real = Real::new(&codex).unwrap();
        let toml = "[mcp_servers.lab]\ncommand = \"/bin/lab\"\n";
        real.home.append_config(toml).unwrap();
        let mut agent = Agent::spawn(on_real_codex(&real).arg("--leave-out-mcp-servers"));
        agent.call("initialize", json!({ "protocolVersion": 1 }));
        let server = |name: &str, headers: serde_json::Value| json!({ "type": "http", "name": name, "url": "http://127.0.0.1:1/mcp", "headers": headers });
        let secret = json!([{ "name": "A", "value": "secret" }]);
        let lab = json!({ "name": "lab", "command": "/bin/lab", "args": [], "env": [] });
        let wanted = json!({ "cwd": real.workspace.path(), "mcpServers": [server("web", secret), lab, server("net", json!([]))] });
        let answer = agent.call("session/new", wanted);
        let session = answer["sessionId"].as_str().unwrap().to_owned();
        for (prompt, warnings) in [("mock:text=one", 1), ("mock:text=two", 0)] {
            let id = agent.prompt(&session, prompt);
            let answer = agent.answer(id);
            assert_eq!(answer["result"]["stopReason"], "end_turn", "{answer}");
            let updates = agent.updates(&session);
            let said: Vec<&str> = updates
                .iter()
                .filter(|update| update["sessionUpdate"] == "agent_thought_chunk")
                .filter_map(|update| update["content"]["text"].as_str())
                .filter(|text| text.contains("MCP servers"))
                .collect();
            assert_eq!(said.len(), warnings, "{updates:?}");
            for text in said {
                assert!(text.contains(": web, net. "), "{text}");
            }
        }
    });
}
