//! The events of a turn without what no two turns have in common: ids, folders, addresses, into how many pieces a text is
//! cut, and what is chance.

use plexum_openai_provider::Event;
use plexum_openai_provider_tests::agent::Agent;
use regex_lite::Regex;
use serde_json::{Value, json};

/// The events, as JSON.
pub fn events(events: &[Event], agent: &Agent) -> Vec<Value> {
    let mut canonical: Vec<Value> = Vec::new();
    for event in events {
        let event = serde_json::to_value(event).unwrap();
        match canonical.last_mut() {
            Some(last) if is_next_piece(last, &event) => {
                let text = [&last["text"], &event["text"]].map(|text| text.as_str().unwrap());
                last["text"] = text.concat().into();
            }
            _ => canonical.push(event),
        }
    }
    let mut canonical = with_numbered_tools(tools_together(canonical));
    forget_states_of_new_agents(&mut canonical);
    let text = Value::Array(canonical).to_string();
    let text = text
        .replace(&agent.workspace.path().display().to_string(), "WORKSPACE")
        .replace(&agent.home.path().display().to_string(), "HOME")
        .replace(&agent.model.base_url(), "MODEL");
    let uuid = Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap();
    match serde_json::from_str(&uuid.replace_all(&text, "UUID")) {
        Ok(Value::Array(events)) => events,
        other => panic!("{other:?}"),
    }
}

/// The events, one a line.
pub fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

fn is_next_piece(last: &Value, event: &Value) -> bool {
    ["text_delta", "thinking_delta"].contains(&kind(event))
        && kind(last) == kind(event)
        && last["index"] == event["index"]
}

/// The name of an event.
pub fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap()
}

/// Codex runs the tools of one response at once: which ends first is chance. So each comes whole, and only tools that run
/// at the same time change places.
fn tools_together(events: Vec<Value>) -> Vec<Value> {
    let mut together: Vec<Value> = Vec::new();
    for event in events {
        let is_of = |other: &Value| kind(other).starts_with("tool_") && other["id"] == event["id"];
        let own = match kind(&event) {
            "tool_update" | "tool_end" => together.iter().rposition(is_of),
            _ => None,
        };
        match own {
            // Only other tools stand in between.
            Some(own)
                if together[own..]
                    .iter()
                    .all(|event| kind(event).starts_with("tool_")) =>
            {
                together.insert(own + 1, event);
            }
            _ => together.push(event),
        }
    }
    together
}

/// The tools of `codex exec` have the ids `item_0`, `item_1` and so on, those of app-server have the model's.
fn with_numbered_tools(mut events: Vec<Value>) -> Vec<Value> {
    let starts = events.iter().filter(|event| kind(event) == "tool_start");
    let ids: Vec<Value> = starts.map(|start| start["id"].clone()).collect();
    for event in &mut events {
        if kind(event).starts_with("tool_") {
            let number = ids.iter().position(|id| *id == event["id"]);
            event["id"] = json!(number);
        }
    }
    events
}

/// How far an agent has come at the moment in which the tool that starts it returns is chance: `pending_init` mostly,
/// `running` on a busy machine. Only who was started is compared.
fn forget_states_of_new_agents(events: &mut [Value]) {
    let starts = events.iter().filter(|event| kind(event) == "tool_start");
    let spawns = starts.filter(|start| start["title"] == "spawn_agent");
    let ids: Vec<Value> = spawns.map(|start| start["id"].clone()).collect();
    let ends = events
        .iter_mut()
        .filter(|event| kind(event) == "tool_end" && ids.contains(&event["id"]));
    for end in ends {
        let output = end["output"].as_str().map(serde_json::from_str);
        if let Some(Ok(Value::Object(agents))) = output {
            end["output"] = agents.keys().map(String::as_str).collect();
        }
    }
}
