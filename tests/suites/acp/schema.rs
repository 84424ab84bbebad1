//! Every message that the agent sends in any test of this suite follows the schema that the protocol's authors publish.

use std::fs;
use std::sync::OnceLock;

use plexum_openai_provider_tests::json_schema::violations;
use plexum_openai_provider_tests::tool::{acp_clients, acp_clients_if_there, current_test};
use serde_json::{Value, json};

const FILE: &str = "@agentclientprotocol/sdk/schema/v1/schema.json";

/// The schema, where it is installed.
fn schema() -> Option<&'static Value> {
    static SCHEMA: OnceLock<Option<Value>> = OnceLock::new();
    let read = || {
        let text = fs::read_to_string(acp_clients_if_there()?.join(FILE)).unwrap();
        Some(serde_json::from_str(&text).unwrap())
    };
    SCHEMA.get_or_init(read).as_ref()
}

/// Where a value is not what a definition of the schema says.
fn against(schema: &Value, definition: &str, value: &Value) -> Vec<String> {
    let mut wanted = json!({ "$ref": format!("#/$defs/{definition}") });
    wanted["$defs"] = schema["$defs"].clone();
    violations(value, &wanted)
}

/// Checks a message that answers this method, or is none.
pub fn check(message: &Value, method: Option<&str>) {
    let Some(schema) = schema() else { return };
    let (definition, value) = if !message["method"].is_null() {
        assert_eq!(message["method"], "session/update", "{message}");
        ("SessionNotification", &message["params"])
    } else if let Some(error) = message.get("error") {
        ("Error", error)
    } else {
        let definition = match method {
            Some("initialize") => "InitializeResponse",
            Some("authenticate") => "AuthenticateResponse",
            Some("session/new") => "NewSessionResponse",
            Some("session/load") => "LoadSessionResponse",
            Some("session/resume") => "ResumeSessionResponse",
            Some("session/list") => "ListSessionsResponse",
            Some("session/close") => "CloseSessionResponse",
            Some("session/delete") => "DeleteSessionResponse",
            Some("session/prompt") => "PromptResponse",
            Some("session/set_config_option") => "SetSessionConfigOptionResponse",
            // One that a test wrote itself.
            _ => return,
        };
        (definition, &message["result"])
    };
    let found = against(schema, definition, value);
    assert!(found.is_empty(), "{definition}: {found:?}: {message}");
}

#[test]
fn it_is_there_and_refuses_what_is_wrong() {
    if acp_clients(&current_test()).is_none() {
        return;
    }
    let schema = schema().unwrap();
    let update = |update: Value| json!({ "sessionId": "s", "update": update });
    let right = json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "text", "text": "x" }, "messageId": "m" });
    assert!(against(schema, "SessionNotification", &update(right)).is_empty());
    for wrong in [
        json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "text" } }),
        json!({ "sessionUpdate": "agent_message", "content": { "type": "text", "text": "x" } }),
        json!({ "sessionUpdate": "tool_call", "toolCallId": "t" }),
        json!({ "sessionUpdate": "notice", "severity": "info", "title": "" }),
    ] {
        let found = against(schema, "SessionNotification", &update(wrong.clone()));
        assert!(!found.is_empty(), "{wrong}");
    }
}
