//! What an editor sees of a turn.

use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::wait::is_running;
use serde_json::{Value, json};

use super::client::{Agent, endless, scripted};

fn item(event: &str, item: Value) -> Step {
    Step::emit(json!({ "type": event, "item": item }).to_string())
}

#[test]
fn a_turn_with_everything_in_it() {
    let command = |status: &str, output: &str, code: Value| json!({ "id": "item_1", "type": "command_execution", "command": "ls", "aggregated_output": output, "exit_code": code, "status": status });
    let change = json!({ "id": "item_2", "type": "file_change", "changes": [{ "path": "/w/a", "kind": "add" }], "status": "completed" });
    let todo = json!({ "id": "item_3", "type": "todo_list", "items": [{ "text": "a", "completed": true }, { "text": "b", "completed": false }] });
    let workspace = scripted([vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        item(
            "item.completed",
            json!({ "id": "item_0", "type": "reasoning", "text": "hm" }),
        ),
        item("item.started", command("in_progress", "", Value::Null)),
        item("item.completed", command("completed", "a\n", json!(0))),
        item("item.started", change.clone()),
        item("item.completed", change),
        item("item.started", todo),
        Step::message("one"),
        Step::message("two"),
        Step::TurnCompleted,
    ]]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let id = agent.prompt(&session, "  do it\nnow");
    let answer = agent.answer(id);
    let mut updates = agent.updates(&session);
    // Ids are unique, and times pass.
    let mut turn = None;
    for update in &mut updates {
        for key in ["messageId", "toolCallId"] {
            if let Some(id) = update[key].as_str() {
                let (of, rest) = id.split_once('-').unwrap();
                assert_eq!(*turn.get_or_insert(of.to_owned()), *of);
                update[key] = json!(rest);
            }
        }
        if update.get("updatedAt").is_some() {
            update["updatedAt"] = json!("then");
        }
    }
    let chunk = |kind: &str, id: &str, text: &str| json!({ "sessionUpdate": kind, "messageId": id, "content": { "type": "text", "text": text } });
    let title =
        json!({ "sessionUpdate": "session_info_update", "title": "do it", "updatedAt": "then" });
    let place = updates.iter().position(|update| *update == title);
    updates.remove(place.expect("the title"));
    assert_eq!(
        updates,
        [
            chunk("agent_thought_chunk", "thought-0", "hm"),
            json!({ "sessionUpdate": "tool_call", "toolCallId": "item_1", "title": "ls", "kind": "execute", "status": "in_progress", "rawInput": { "command": "ls" } }),
            json!({ "sessionUpdate": "tool_call_update", "toolCallId": "item_1", "status": "completed",
                "content": [{ "type": "content", "content": { "type": "text", "text": "```\na\n```" } }] }),
            json!({ "sessionUpdate": "tool_call", "toolCallId": "item_2", "title": "add /w/a", "kind": "edit", "status": "in_progress",
                "locations": [{ "path": "/w/a" }], "rawInput": { "changes": [{ "path": "/w/a", "kind": "add" }] } }),
            json!({ "sessionUpdate": "tool_call_update", "toolCallId": "item_2", "status": "completed" }),
            json!({ "sessionUpdate": "plan", "entries": [
                { "content": "a", "priority": "medium", "status": "completed" },
                { "content": "b", "priority": "medium", "status": "pending" },
            ] }),
            chunk("agent_message_chunk", "text-0", "one"),
            chunk("agent_message_chunk", "text-1", "\n\ntwo"),
        ]
    );
    assert_eq!(answer["result"]["stopReason"], "end_turn");
    let usage = &answer["result"]["usage"];
    assert!(usage["totalTokens"].as_u64().unwrap() > 0, "{answer}");
    // The client's prompt is codex's, as it is.
    let argv = workspace.calls().unwrap()[0].argv.clone();
    assert_eq!(argv.last().unwrap(), "  do it\nnow");
}

#[test]
fn prompts_of_a_session_run_one_after_the_other() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let ids: Vec<u64> = (0..5)
        .map(|number| agent.prompt(&session, &format!("prompt {number}")))
        .collect();
    for id in ids {
        // In this order, so that nothing is kept.
        let answer = loop {
            let message = agent.receive();
            if message.get("id").is_some() {
                break message;
            }
        };
        assert_eq!(answer["id"], id);
        assert_eq!(answer["result"]["stopReason"], "end_turn");
    }
    let prompts: Vec<String> = workspace
        .calls()
        .unwrap()
        .iter()
        .map(|call| call.argv.last().unwrap().clone())
        .collect();
    let expected: Vec<String> = (0..5).map(|number| format!("prompt {number}")).collect();
    assert_eq!(prompts, expected);
}

#[test]
fn cancel_ends_the_turn_and_all_prompts_that_wait() {
    let workspace = scripted([endless(), Step::turn("next").to_vec()]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let running = agent.prompt(&session, "x");
    agent.until(&session, "here");
    let waiting = [agent.prompt(&session, "y"), agent.prompt(&session, "z")];
    agent.tell("session/cancel", json!({ "sessionId": session }));
    for id in waiting.into_iter().chain([running]) {
        let answer = agent.answer(id);
        assert_eq!(answer["result"]["stopReason"], "cancelled", "{answer}");
    }
    let calls = workspace.calls().unwrap();
    assert_eq!(calls.len(), 1);
    assert!(!is_running(calls[0].pid));
    let (text, answer) = agent.turn(&session, "again");
    assert_eq!(
        (&*text, &answer["result"]["stopReason"]),
        ("next", &json!("end_turn"))
    );
}

#[test]
fn one_prompt_of_many_can_be_cancelled() {
    let workspace = scripted([endless(), Step::turn("third").to_vec()]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let first = agent.prompt(&session, "first");
    agent.until(&session, "here");
    let second = agent.prompt(&session, "second");
    let third = agent.prompt(&session, "third");
    // At once, while the first still runs.
    agent.tell("$/cancel_request", json!({ "requestId": second }));
    assert_eq!(agent.answer(second)["result"]["stopReason"], "cancelled");
    agent.tell("$/cancel_request", json!({ "requestId": first }));
    assert_eq!(agent.answer(first)["result"]["stopReason"], "cancelled");
    assert_eq!(agent.answer(third)["result"]["stopReason"], "end_turn");
    let prompts = workspace.calls().unwrap();
    let prompts: Vec<_> = prompts
        .iter()
        .map(|call| call.argv.last().unwrap())
        .collect();
    assert_eq!(prompts, ["first", "third"]);
}

#[test]
fn files_images_and_what_the_editor_has_open_reach_codex() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    // A GIF of one point.
    let picture = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=";
    let prompt = json!([
        { "type": "text", "text": "look at " },
        { "type": "resource_link", "uri": "file:///w/a.rs", "name": "a.rs" },
        { "type": "resource", "resource": { "uri": "file:///w/b.rs", "text": "fn b() {}", "mimeType": "text/rust" } },
        { "type": "image", "data": picture, "mimeType": "image/gif" },
    ]);
    let answer = agent.call(
        "session/prompt",
        json!({ "sessionId": session, "prompt": prompt }),
    );
    assert_eq!(answer["stopReason"], "end_turn");
    let argv = workspace.calls().unwrap()[0].argv.clone();
    assert!(argv.contains(&"-i".to_owned()), "{argv:?}");
    assert_eq!(
        argv.last().unwrap(),
        "look at [@a.rs](/w/a.rs)\n<context uri=\"file:///w/b.rs\">\nfn b() {}\n</context>\n"
    );
    for (block, said) in [
        (
            json!({ "type": "audio", "data": "", "mimeType": "audio/wav" }),
            "takes no audio",
        ),
        (json!({ "type": "dance" }), "unknown variant `dance`"),
    ] {
        let prompt = json!({ "sessionId": session, "prompt": [block] });
        let error = agent.refused("session/prompt", prompt);
        assert_eq!(error["code"], -32602);
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains(said) && message.contains("prompt[0]"),
            "{message}"
        );
    }
}
