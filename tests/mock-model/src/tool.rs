//! The scenarios in which the model calls tools. Each looks at what the turn has produced so far
//! to know how far it is, so the server keeps no state of its own about a turn.

use serde_json::{Value, json};

use super::answer::Question;
use super::event::function_call;
use super::reply::{Reply, Response};
use super::request::{RecordedRequest, kind};

/// A tool that the request offers.
struct Offered<'a> {
    name: &'a str,
    namespace: Option<&'a str>,
}

/// The longest that `exec_command` may wait before it reports a command as still running.
const YIELD_MILLIS: u64 = 30_000;

/// Asks for all commands in one response, waits for those that go on running, then is done.
pub(super) fn shell(commands: &[&str], question: &Question<'_>, mut response: Response) -> Reply {
    let request = question.request;
    if let Some(session) = running_session(request) {
        let poll = json!({ "session_id": session, "chars": "", "yield_time_ms": YIELD_MILLIS });
        return call(response, "write_stdin", None, &poll);
    }
    if request.tool_outputs().next().is_some() {
        return response.message("done").completed();
    }
    for command in commands {
        let id = response.item_id("call");
        let Some(item) = shell_call(request, &id, command) else {
            return response.message("no shell tool").completed();
        };
        response = response.item(&item);
    }
    response.completed()
}

/// How many calls of the turn's command have been answered; None while it runs or has not begun.
pub(super) fn outputs_of_shell(question: &Question<'_>) -> Option<u64> {
    let request = question.request;
    if running_session(request).is_some() {
        return None;
    }
    let outputs = request.tool_outputs().count();
    u64::try_from(outputs).ok().filter(|outputs| *outputs > 0)
}

/// One command in the form of whichever shell tool is on offer.
fn shell_call(request: &RecordedRequest, id: &str, command: &str) -> Option<Value> {
    let bash = || json!(["bash", "-lc", command]);
    let item = if find(request, "exec_command").is_some() {
        let arguments = json!({ "cmd": command, "yield_time_ms": YIELD_MILLIS });
        function_call(id, "exec_command", &arguments)
    } else if find(request, "shell_command").is_some() {
        function_call(id, "shell_command", &json!({ "command": command }))
    } else if find(request, "shell").is_some() {
        function_call(id, "shell", &json!({ "command": bash() }))
    } else if request.tools().any(|tool| kind(tool) == "local_shell") {
        json!({
            "type": "local_shell_call",
            "call_id": id,
            "status": "completed",
            "action": { "type": "exec", "command": bash() },
        })
    } else {
        return None;
    };
    Some(item)
}

/// The session of a command that the last tool output says is still running.
fn running_session(request: &RecordedRequest) -> Option<u64> {
    let output = request.tool_outputs().next_back()?.get("output")?;
    let text = output
        .as_str()
        .map_or_else(|| output.to_string(), str::to_owned);
    let (_, after) = text.split_once("Process running with session ID ")?;
    let digits = after
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(after.len());
    after.get(..digits)?.parse().ok()
}

/// Adds a file of one line.
pub(super) fn patch(path: &str, question: &Question<'_>, mut response: Response) -> Reply {
    let request = question.request;
    if request.tool_outputs().next().is_some() {
        return response.message("done").completed();
    }
    let patch =
        format!("*** Begin Patch\n*** Add File: {path}\n+made by mock-model\n*** End Patch\n");
    let id = response.item_id("call");
    let tool = request
        .tools()
        .find(|tool| tool["name"].as_str() == Some("apply_patch"));
    let item = match tool.map(kind) {
        Some("custom") => json!({
            "type": "custom_tool_call",
            "call_id": id,
            "name": "apply_patch",
            "input": patch,
        }),
        Some(_) => function_call(&id, "apply_patch", &json!({ "input": patch })),
        None => return response.message("no apply_patch tool").completed(),
    };
    response.item(&item).completed()
}

/// Calls one tool of an MCP server, searching for it first where tools are not listed.
pub(super) fn mcp(
    server: &str,
    tool: &str,
    arguments: &Value,
    question: &Question<'_>,
    response: Response,
) -> Reply {
    let request = question.request;
    if called(request) {
        return response.message("done").completed();
    }
    let flat = format!("mcp__{server}__{tool}");
    let nested = format!("mcp__{server}");
    let found = offered(request).find(|offered| match offered.namespace {
        Some(namespace) => namespace.trim_end_matches('_') == nested && offered.name == tool,
        None => offered.name == flat,
    });
    match found {
        Some(found) => call(response, found.name, found.namespace, arguments),
        None => search(request, response, &format!("{server} {tool}"), "MCP"),
    }
}

/// Sets a plan, completes its first step, then is done.
pub(super) fn plan(question: &Question<'_>, response: Response) -> Reply {
    let request = question.request;
    let statuses = match request.tool_outputs().count() {
        0 => ["in_progress", "pending"],
        1 => ["completed", "in_progress"],
        _ => return response.message("done").completed(),
    };
    if find(request, "update_plan").is_none() {
        return response.message("no update_plan tool").completed();
    }
    let [look, write] = statuses;
    let plan = json!([
        { "step": "Look", "status": look },
        { "step": "Write", "status": write },
    ]);
    call(response, "update_plan", None, &json!({ "plan": plan }))
}

/// Starts a sub-agent, waits for it where that is a tool too, then is done.
pub(super) fn agents(question: &Question<'_>, response: Response) -> Reply {
    let request = question.request;
    let Some(spawn) = find(request, "spawn_agent") else {
        return search(
            request,
            response,
            "spawn_agent sub-agent multi-agent",
            "sub-agent",
        );
    };
    let outputs: Vec<&Value> = request
        .tool_outputs()
        .filter(|output| kind(output) == "function_call_output")
        .collect();
    match outputs.as_slice() {
        [] => {
            let arguments = json!({
                "message": "hello from the main agent",
                "task_name": "hello",
                "fork_context": false,
            });
            call(response, spawn.name, spawn.namespace, &arguments)
        }
        [spawned] => {
            let wait = find(request, "wait_agent").or_else(|| find(request, "wait"));
            match (wait, agent_id(spawned)) {
                (Some(wait), Some(agent)) => {
                    let arguments = json!({ "targets": [agent], "timeout_ms": 10_000 });
                    call(response, wait.name, wait.namespace, &arguments)
                }
                _ => response.message("done").completed(),
            }
        }
        _ => response.message("done").completed(),
    }
}

/// The id with which the output of `spawn_agent` names the new agent.
fn agent_id(output: &Value) -> Option<String> {
    let text = output.get("output")?.as_str()?;
    let value: Value = serde_json::from_str(text).ok()?;
    Some(value.get("agent_id")?.as_str()?.to_owned())
}

/// Calls a tool that codex does not know.
pub(super) fn unknown(question: &Question<'_>, response: Response) -> Reply {
    if called(question.request) {
        return response.message("done").completed();
    }
    call(response, "no_such_tool", None, &json!({}))
}

/// Whether a call of this turn has been answered.
fn called(request: &RecordedRequest) -> bool {
    request
        .tool_outputs()
        .any(|output| kind(output) != "tool_search_output")
}

/// Looks for tools that are not listed; where that has been tried, or cannot be, gives up.
fn search(request: &RecordedRequest, mut response: Response, query: &str, what: &str) -> Reply {
    let searched = request
        .tool_outputs()
        .any(|item| kind(item) == "tool_search_output");
    if searched || !request.tools().any(|tool| kind(tool) == "tool_search") {
        return response.message(&format!("no {what} tool")).completed();
    }
    let item = json!({
        "type": "tool_search_call",
        "call_id": response.item_id("call"),
        "execution": "client",
        "status": "completed",
        "arguments": { "query": query },
    });
    response.item(&item).completed()
}

fn call(mut response: Response, name: &str, namespace: Option<&str>, arguments: &Value) -> Reply {
    let id = response.item_id("call");
    let mut item = function_call(&id, name, arguments);
    if let (Some(namespace), Some(members)) = (namespace, item.as_object_mut()) {
        members.insert("namespace".to_owned(), namespace.into());
    }
    response.item(&item).completed()
}

fn find<'a>(request: &'a RecordedRequest, name: &str) -> Option<Offered<'a>> {
    offered(request).find(|offered| offered.name == name)
}

/// Every named tool, those inside a namespace too.
fn offered(request: &RecordedRequest) -> impl Iterator<Item = Offered<'_>> {
    request.tools().flat_map(|tool| {
        let name = tool.get("name").and_then(Value::as_str);
        let (namespace, members) = match tool.get("tools").and_then(Value::as_array) {
            Some(members) => (name, members.as_slice()),
            None => (None, std::slice::from_ref(tool)),
        };
        members.iter().filter_map(move |member| {
            let name = member.get("name")?.as_str()?;
            Some(Offered { name, namespace })
        })
    })
}
