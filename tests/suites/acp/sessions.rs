//! Sessions: many in a folder, found again, and none that spoils another.

use std::fs;

use plexum_openai_provider::SESSION_FILE;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::wait::is_running;
use plexum_openai_provider_tests::workspace::Workspace;
use serde_json::json;

use super::client::{Agent, endless, over_exec, scripted};

/// The thread that a call of codex went on with; `None` if it began one.
fn resumed(workspace: &Workspace, call: usize) -> Option<String> {
    let argv = workspace.calls().unwrap()[call].argv.clone();
    let place = argv.iter().position(|word| word == "resume")?;
    argv.get(place + 1).cloned()
}

#[test]
fn a_session_goes_on_after_the_agent_was_killed_also_before_its_first_turn() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    agent.signal(libc::SIGKILL);
    agent.end();
    let mut agent = Agent::initialized(&workspace);
    assert_eq!(
        agent.resume(&session, workspace.path()),
        json!({ "configOptions": [] })
    );
    agent.turn(&session, "one");
    assert_eq!(resumed(&workspace, 0), None);
    agent.signal(libc::SIGKILL);
    agent.end();
    let mut agent = Agent::initialized(&workspace);
    agent.resume(&session, workspace.path());
    agent.turn(&session, "two");
    let thread = resumed(&workspace, 1).expect("it goes on");
    // Resuming what is open already changes nothing.
    agent.resume(&session, workspace.path());
    agent.turn(&session, "three");
    assert_eq!(resumed(&workspace, 2), Some(thread));
}

#[test]
fn sessions_of_a_folder_have_their_own_threads_and_leave_the_folder_and_its_own_conversation_alone()
{
    let workspace = scripted([]);
    workspace.turn(None, "the workspace's own").unwrap();
    let own = workspace.session().unwrap();
    let mut agent = Agent::initialized(&workspace);
    let (one, other) = (
        agent.session(workspace.path()),
        agent.session(workspace.path()),
    );
    for session in [&one, &other, &one, &other] {
        agent.turn(session, "x");
    }
    let (first, second) = (resumed(&workspace, 3), resumed(&workspace, 4));
    assert!(first.is_some() && second.is_some() && first != second);
    assert!(first != own && second != own);
    assert_eq!(workspace.session().unwrap(), own);
    workspace.turn(None, "again").unwrap();
    assert_eq!(resumed(&workspace, 5), own);
    let files = fs::read_dir(workspace.path()).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let ours: Vec<String> = files
        .filter(|name| name.starts_with(SESSION_FILE))
        .collect();
    assert_eq!(ours, [SESSION_FILE]);
}

#[test]
fn a_person_shows_resets_and_chooses_the_thread_of_a_session() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let (said, code) = workspace.session_command(&["show", "--session", &session]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Nothing was said yet"), "{said}");
    agent.turn(&session, "one");
    agent.turn(&session, "two");
    let thread = resumed(&workspace, 1).expect("it goes on");
    let (said, code) = workspace.session_command(&["show", "--session", &session]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&thread), "{said}");
    // The workspace's own conversation is another one.
    let (said, code) = workspace.session_command(&["show"]);
    assert_eq!(code, Some(1), "{said}");
    let (said, code) = workspace.session_command(&["reset", "--session", &session]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(SESSION_FILE), "{said}");
    agent.turn(&session, "three");
    assert_eq!(resumed(&workspace, 2), None);
    // As it was told to go back.
    let (_, command) = said.split_once("`plexum-openai-provider session ").unwrap();
    let (command, _) = command.split_once('`').unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    let (said, code) = workspace.session_command(&words);
    assert_eq!(code, Some(0), "{said}");
    agent.turn(&session, "four");
    assert_eq!(resumed(&workspace, 3), Some(thread));
}

#[test]
fn one_turn_at_a_time_works_in_a_folder() {
    let workspace = scripted([endless(), Step::turn("next").to_vec()]);
    over_exec(&workspace, &json!({ "limits": { "busy_seconds": 1 } }));
    let mut agent = Agent::initialized(&workspace);
    let (one, other) = (
        agent.session(workspace.path()),
        agent.session(workspace.path()),
    );
    let running = agent.prompt(&one, "x");
    agent.until(&one, "here");
    let (_, answer) = agent.turn(&other, "y");
    let error = &answer["error"];
    assert_eq!(error["data"]["kind"], "session_busy", "{answer}");
    assert_eq!(error["data"]["retryable"], true);
    let message = error["message"].as_str().unwrap();
    let folder = workspace.path().to_str().unwrap();
    assert!(
        message.contains(&format!("another turn works in {folder}")),
        "{message}"
    );
    assert!(message.contains("`limits.busy_seconds`"), "{message}");
    agent.tell("session/cancel", json!({ "sessionId": one }));
    assert_eq!(agent.answer(running)["result"]["stopReason"], "cancelled");
    let (_, answer) = agent.turn(&other, "y");
    assert_eq!(answer["result"]["stopReason"], "end_turn", "{answer}");
}

#[test]
fn a_session_belongs_to_its_folder() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let elsewhere = workspace.outside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let params = json!({ "sessionId": session, "cwd": elsewhere, "mcpServers": [] });
    let error = agent.refused("session/resume", params);
    assert_eq!(error["code"], -32602);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("works in the folder"), "{message}");
    let params = json!({ "cwd": workspace.outside("nowhere"), "mcpServers": [] });
    let error = agent.refused("session/new", params);
    assert_eq!(
        (&error["code"], &error["data"]["field"]),
        (&json!(-32602), &json!("cwd"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("nowhere"), "{message}");
}

#[test]
fn a_session_follows_its_folder_also_while_it_is_open() {
    let workspace = scripted([]);
    let folder = workspace.outside("before");
    fs::create_dir(&folder).unwrap();
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(&folder);
    agent.turn(&session, "one");
    let renamed = workspace.outside("after");
    fs::rename(&folder, &renamed).unwrap();
    agent.resume(&session, &renamed);
    let (text, answer) = agent.turn(&session, "two");
    assert!(text.contains("two"), "{answer}");
    // One that was made again is another one, and says so.
    fs::remove_dir_all(&renamed).unwrap();
    fs::create_dir(&renamed).unwrap();
    let params = json!({ "sessionId": session, "cwd": renamed, "mcpServers": [] });
    let error = agent.refused("session/resume", params);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("has taken the place of"), "{message}");
}

#[test]
fn a_list_has_what_was_used_last_first_a_page_at_a_time() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    let other = workspace.outside("other");
    fs::create_dir(&other).unwrap();
    let elsewhere = agent.session(&other);
    agent.turn(&elsewhere, "x");
    let sessions: Vec<String> = (0..52).map(|_| agent.session(workspace.path())).collect();
    let list = json!({ "cwd": workspace.path() });
    // Nobody has said anything in these.
    assert_eq!(
        agent.call("session/list", list.clone())["sessions"],
        json!([])
    );
    for session in &sessions {
        agent.turn(session, "x");
    }
    agent.turn(&sessions[0], "y");
    let titled = agent.session(workspace.path());
    agent.turn(&titled, "mend the bug\nplease");
    let page = agent.call("session/list", list);
    let listed = page["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 50);
    assert_eq!(listed[0]["sessionId"], titled);
    assert_eq!(listed[0]["title"], "mend the bug");
    assert_eq!(listed[0]["cwd"], workspace.path().to_str().unwrap());
    assert_eq!(listed[1]["sessionId"], sessions[0]);
    let params = json!({ "cwd": workspace.path(), "cursor": page["nextCursor"] });
    let page = agent.call("session/list", params);
    assert_eq!(page["sessions"].as_array().unwrap().len(), 3);
    assert_eq!(page.get("nextCursor"), None);
    let page = agent.call("session/list", json!({ "cwd": other }));
    assert_eq!(page["sessions"][0]["sessionId"], elsewhere);
    let error = agent.refused("session/list", json!({ "cursor": "x" }));
    assert_eq!(error["code"], -32602);
}

#[test]
fn what_was_deleted_is_gone_and_its_turn_too() {
    let workspace = scripted([endless()]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let running = agent.prompt(&session, "x");
    agent.until(&session, "here");
    let delete = json!({ "sessionId": session });
    let deleted = agent.ask("session/delete", delete.clone());
    assert_eq!(agent.answer(running)["result"]["stopReason"], "cancelled");
    assert_eq!(agent.answer(deleted)["result"], json!({}));
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
    let listed = agent.call("session/list", json!({}));
    assert_eq!(listed["sessions"], json!([]));
    let params = json!({ "sessionId": session, "cwd": workspace.path(), "mcpServers": [] });
    let error = agent.refused("session/resume", params);
    assert_eq!(error["code"], -32002);
    // As the protocol has it.
    assert_eq!(agent.call("session/delete", delete), json!({}));
    let other = agent.session(workspace.path());
    for never in ["../state", &other.to_uppercase()] {
        let never = json!({ "sessionId": never });
        assert_eq!(agent.call("session/delete", never), json!({}));
    }
    agent.resume(&other, workspace.path());
}

#[test]
fn turns_of_a_folder_have_an_order_and_take_no_place_of_others_while_they_wait() {
    let gated = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        Step::WaitForFile {
            path: "gate".into(),
        },
        Step::TurnCompleted,
    ];
    let workspace = scripted([gated, Step::turn("next").to_vec()]);
    over_exec(&workspace, &json!({ "limits": { "turns": 2 } }));
    let other = workspace.outside("other");
    fs::create_dir(&other).unwrap();
    let mut agent = Agent::initialized(&workspace);
    let sessions: Vec<String> = (0..6).map(|_| agent.session(workspace.path())).collect();
    let elsewhere = agent.session(&other);
    let mut prompts = vec![agent.prompt(&sessions[0], "x")];
    agent.until(&sessions[0], "here");
    for session in &sessions[1..] {
        prompts.push(agent.prompt(session, "x"));
    }
    let (text, answer) = agent.turn(&elsewhere, "hello");
    assert!(text.contains("hello"), "{answer}");
    fs::write(workspace.path().join("gate"), "").unwrap();
    let last = prompts.pop().unwrap();
    agent.answer(last);
    let answers = agent
        .kept
        .iter()
        .filter_map(|message| message["id"].as_u64());
    let answered: Vec<u64> = answers.collect();
    assert_eq!(answered, prompts);
}

#[test]
fn what_the_state_has_lost_is_told() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    agent.turn(&session, "one");
    let (text, _) = agent.turn(&session, "two");
    assert!(!text.contains("does not remember"), "{text}");
    let state = workspace.state_home().join("plexum-openai-provider");
    for folder in ["workspaces", "threads"] {
        fs::remove_dir_all(state.join(folder)).unwrap();
    }
    let (text, _) = agent.turn(&session, "three");
    assert!(text.starts_with("[The model does not remember"), "{text}");
    assert!(text.ends_with("three"), "{text}");
}

#[test]
fn two_agents_keep_what_the_other_has_noted() {
    let workspace = scripted([]);
    over_exec(&workspace, &json!({ "supported_models": ["a", "b"] }));
    let mut one = Agent::initialized(&workspace);
    let mut other = Agent::initialized(&workspace);
    let session = one.session(workspace.path());
    other.resume(&session, workspace.path());
    other.turn(&session, "hello");
    let choice = json!({ "sessionId": session, "configId": "model", "value": "b" });
    one.call("session/set_config_option", choice);
    // When this is answered, that is kept.
    one.turn(&session, "from the first");
    other.turn(&session, "from the second");
    let listed = one.call("session/list", json!({}));
    assert_eq!(listed["sessions"][0]["title"], "hello", "{listed}");
    let mut third = Agent::initialized(&workspace);
    let resumed = third.resume(&session, workspace.path());
    assert_eq!(resumed["configOptions"][0]["currentValue"], "b");
}

#[test]
fn a_prompt_is_refused_where_the_session_or_its_folder_is_another() {
    let workspace = scripted([]);
    let folder = workspace.outside("folder");
    fs::create_dir(&folder).unwrap();
    let mut one = Agent::initialized(&workspace);
    let mut other = Agent::initialized(&workspace);
    let (gone, moved) = (one.session(&folder), one.session(&folder));
    one.turn(&gone, "x");
    one.turn(&moved, "x");
    other.call("session/delete", json!({ "sessionId": gone }));
    let (_, answer) = one.turn(&gone, "y");
    assert_eq!(answer["error"]["code"], -32002, "{answer}");
    fs::remove_dir_all(&folder).unwrap();
    let (_, answer) = one.turn(&moved, "y");
    assert_eq!(
        answer["error"]["data"]["kind"], "invalid_request",
        "{answer}"
    );
    fs::create_dir(&folder).unwrap();
    let (_, answer) = one.turn(&moved, "z");
    assert_eq!(answer["error"]["data"]["kind"], "session_lost", "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("has taken the place of"), "{message}");
}

#[test]
fn close_cancels_and_the_session_can_be_resumed() {
    let workspace = scripted([endless(), Step::turn("back").to_vec()]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let running = agent.prompt(&session, "x");
    agent.until(&session, "here");
    let waiting = agent.prompt(&session, "y");
    let closed = agent.ask("session/close", json!({ "sessionId": session }));
    for id in [waiting, running] {
        assert_eq!(agent.answer(id)["result"]["stopReason"], "cancelled");
    }
    assert_eq!(agent.answer(closed)["result"], json!({}));
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
    let params = json!({ "sessionId": session, "prompt": [{ "type": "text", "text": "z" }] });
    let error = agent.refused("session/prompt", params);
    assert_eq!(error["code"], -32002);
    agent.resume(&session, workspace.path());
    let (text, _) = agent.turn(&session, "z");
    assert_eq!(text, "back");
    assert!(resumed(&workspace, 1).is_some());
}

#[test]
fn who_resumes_what_is_being_closed_waits_for_its_end() {
    let workspace = scripted([endless(), Step::turn("back").to_vec()]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let running = agent.prompt(&session, "x");
    agent.until(&session, "here");
    let closed = agent.ask("session/close", json!({ "sessionId": session }));
    let params = json!({ "sessionId": session, "cwd": workspace.path(), "mcpServers": [] });
    let resumed = agent.ask("session/resume", params);
    assert_eq!(
        agent.answer(resumed)["result"],
        json!({ "configOptions": [] })
    );
    assert!(!is_running(workspace.calls().unwrap()[0].pid));
    for id in [running, closed] {
        assert!(agent.answer(id).get("result").is_some());
    }
    let (text, _) = agent.turn(&session, "y");
    assert_eq!(text, "back");
}
