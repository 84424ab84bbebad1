//! The agent and a client made with the SDK of the protocol's authors, which reads every message by their types.

use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::agent::Agent as Real;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::tool::{acp_clients, current_test, node};
use serde_json::{Value, json};

use super::client::on_real_codex;

#[test]
fn turns_on_the_real_codex() {
    let name = current_test();
    let (Some(modules), Some(node)) = (acp_clients(&name), node(&name)) else {
        return;
    };
    side_by_side(real_codex!(), |codex| {
        let real = Real::new(&codex).unwrap();
        let agent = on_real_codex(&real);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/acp/library.mjs");
        let output = Command::new(&node)
            .arg(script)
            .arg(agent.get_program())
            .args(agent.get_args())
            .arg(real.workspace.path())
            .envs(
                agent
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("MODULES", &modules)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(seen["exits"], json!([0, 0]), "{seen}");
        assert_eq!(seen["initialized"]["protocolVersion"], 1);
        assert_eq!(seen["first"]["stopReason"], "end_turn", "{seen}");
        assert_eq!(seen["firstText"], "echo: my name is Ada");
        assert_eq!(seen["cancelled"]["stopReason"], "cancelled", "{seen}");
        assert_eq!(seen["failure"]["code"], -32000, "{seen}");
        assert_eq!(seen["failure"]["data"]["kind"], "auth");
        // Codex keeps in the history what was cancelled, and what failed.
        let history = seen["history"].as_str().unwrap();
        assert!(history.starts_with(r#"["my name is Ada","#), "{seen}");
        let listed = &seen["listed"]["sessions"][0];
        assert_eq!(listed["sessionId"], seen["sessionId"]);
        assert_eq!(listed["title"], "my name is Ada");
    });
}
