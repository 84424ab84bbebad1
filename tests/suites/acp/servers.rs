//! MCP servers: those that the operator has given to codex, and no others.

use plexum_openai_provider_tests::agent::Agent as Real;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use serde_json::json;

use super::client::{Agent, on_real_codex};

#[test]
fn a_client_gets_the_servers_that_codex_has_and_is_told_how_to_add_others() {
    let server = env!("CARGO_BIN_EXE_mcp-server");
    side_by_side(real_codex!(), |codex| {
        let real = Real::new(&codex).unwrap();
        let toml = format!(
            "[mcp_servers.lab]\ncommand = {server:?}\nargs = [\"-x\"]\nenv = {{ A = \"b\" }}\n"
        );
        real.home.append_config(&toml).unwrap();
        let mut agent = Agent::spawn(&mut on_real_codex(&real));
        agent.call("initialize", json!({ "protocolVersion": 1 }));
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
                "take \"web\" out of the client's settings for this agent, as codex has no servers over SSE".to_owned(),
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
