//! Every way in which an agent ends: no turn goes on, nothing is left, and nothing is lost that somebody reads.

use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::wait::{is_running, wait_until};
use plexum_openai_provider_tests::workspace::Workspace;
use serde_json::{Value, json};

use super::client::{Agent, endless, scripted};

/// An agent with two turns under way that would never end, and the ids of their prompts.
fn busy() -> (Agent, [Workspace; 2], [u64; 2]) {
    let workspaces = [scripted([endless()]), scripted([endless()])];
    let mut agent = Agent::initialized(&workspaces[0]);
    let prompts = workspaces.each_ref().map(|workspace| {
        let session = agent.session(workspace.path());
        let id = agent.prompt(&session, "x");
        agent.until(&session, "here");
        id
    });
    (agent, workspaces, prompts)
}

fn nothing_runs(workspaces: &[Workspace]) {
    for workspace in workspaces {
        assert!(!is_running(workspace.calls().unwrap()[0].pid));
    }
}

/// Checks that both prompts were answered, as cancelled.
fn cancelled(stdout: &str, prompts: [u64; 2]) {
    for id in prompts {
        let answers = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let answers: Vec<Value> = answers
            .filter(|message: &Value| message["id"] == id)
            .collect();
        assert_eq!(answers.len(), 1, "{stdout}");
        assert_eq!(answers[0]["result"]["stopReason"], "cancelled", "{stdout}");
    }
}

#[test]
fn the_end_of_standard_input_is_the_end() {
    let (mut agent, workspaces, prompts) = busy();
    // A request just before the end is still answered, and needs no line feed.
    agent.write(br#"{"jsonrpc":"2.0","id":"last","method":"session/list"}"#);
    agent.stdin = None;
    let (code, stdout, stderr) = agent.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains(r#""id":"last""#), "{stdout}");
    cancelled(&stdout, prompts);
    nothing_runs(&workspaces);
}

#[test]
fn a_signal_is_the_end() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let (mut agent, workspaces, prompts) = busy();
        let stdin = agent.stdin.take();
        agent.signal(signal);
        let (code, stdout, stderr) = agent.end();
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        cancelled(&stdout, prompts);
        nothing_runs(&workspaces);
        drop(stdin);
    }
}

#[test]
fn what_is_asked_after_a_signal_is_not_begun() {
    let deaf = vec![
        Step::IgnoreSignals { signals: vec![2] },
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::message("here"),
        Step::Forever,
    ];
    let workspace = scripted([deaf, endless()]);
    let mut agent = Agent::initialized(&workspace);
    let session = agent.session(workspace.path());
    let running = agent.prompt(&session, "x");
    agent.until(&session, "here");
    agent.signal(libc::SIGTERM);
    // Codex takes no notice of being stopped, so that there is time for this.
    let refused = loop {
        let id = agent.ask("session/list", json!({}));
        if let Some(error) = agent.answer(id).get("error") {
            break error.clone();
        }
    };
    assert_eq!(refused["code"], -32600, "{refused}");
    let late = agent.prompt(&session, "y");
    for id in [late, running] {
        assert_eq!(agent.answer(id)["result"]["stopReason"], "cancelled");
    }
    let stdin = agent.stdin.take();
    assert_eq!(agent.end(), (Some(0), String::new(), String::new()));
    assert_eq!(workspace.calls().unwrap().len(), 1);
    drop(stdin);
}

#[test]
fn an_editor_that_closes_standard_output_ends_everything_also_while_codex_is_silent() {
    let (mut agent, workspaces, _) = busy();
    let stdin = agent.stdin.take();
    agent.stdout = None;
    let (code, _, stderr) = agent.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    nothing_runs(&workspaces);
    drop(stdin);
}

#[test]
fn an_agent_that_is_killed_leaves_nothing_behind() {
    let (agent, workspaces, _) = busy();
    agent.signal(libc::SIGKILL);
    agent.end();
    for workspace in &workspaces {
        let pid = workspace.calls().unwrap()[0].pid;
        wait_until("codex is gone", || !is_running(pid));
    }
}

#[test]
fn an_editor_that_only_looks_in_is_no_error() {
    let workspace = scripted([]);
    let mut agent = Agent::initialized(&workspace);
    agent.call("session/list", json!({}));
    agent.stdin = None;
    assert_eq!(agent.end(), (Some(0), String::new(), String::new()));
}
