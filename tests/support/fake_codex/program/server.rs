//! `app-server`: requests on standard input, answers on standard output.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use plexum_openai_provider_tests::fake_codex::{MESSAGES_FILE, ServerScript, Step};
use serde_json::{Value, json};

use crate::player::Player;
use crate::thread_id;

/// Answers requests until standard input ends, or a step does. Returns the exit code.
pub(crate) fn serve(workspace: &Path) -> anyhow::Result<i32> {
    let mut thread = String::new();
    let mut turn = String::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        append(&workspace.join(MESSAGES_FILE), &line)?;
        let message: Value = serde_json::from_str(&line).context("this is not JSON")?;
        // Answers to requests of this server, and notifications, want no answer.
        let (Some(id), Some(method)) = (message.get("id"), text(&message, "/method")) else {
            continue;
        };
        match method {
            "thread/start" => thread = thread_id::fresh(),
            "thread/resume" => {
                thread = text(&message, "/params/threadId")
                    .unwrap_or_default()
                    .to_owned()
            }
            "turn/start" => turn = thread_id::fresh(),
            _ => {}
        }
        // As it is now: a test gives a codex that waits another one.
        let script = ServerScript::read_from(workspace)?;
        let prompt = text(&message, "/params/input/0/text").unwrap_or_default();
        let cwd = json!(workspace).to_string();
        let rollout = workspace.join(format!(".fake-codex-rollout-{thread}.jsonl"));
        if method == "turn/start" {
            let begun = format!(r#"{{"type":"turn_context","payload":{{"turn_id":"{turn}"}}}}"#);
            append(&rollout, &begun)?;
        }
        let words = Words(vec![
            ("$RESULT", opened()),
            ("$ID", id.to_string()),
            ("$THREAD", json!(thread).to_string()),
            ("$TURN", json!(turn).to_string()),
            ("$CWD", cwd),
            ("$ROLLOUT", json!(rollout).to_string()),
        ]);
        let steps = match script.answers.get(method) {
            Some(steps) => steps.clone(),
            None => usual(method, prompt),
        };
        let steps: Vec<Step> = steps.into_iter().map(|step| words.put_into(step)).collect();
        let player = Player::new(workspace, thread.clone(), prompt.to_owned());
        if let Some(code) = player.play_some(&steps)? {
            return Ok(code);
        }
    }
    Ok(0)
}

/// Adds a line to a file.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

/// A text in a message.
fn text<'a>(message: &'a Value, pointer: &str) -> Option<&'a str> {
    message.pointer(pointer)?.as_str()
}

/// What the words in a line are replaced by, in this order.
struct Words(Vec<(&'static str, String)>);

impl Words {
    fn put_into(&self, mut step: Step) -> Step {
        if let Step::Emit { line } | Step::Repeat { line, .. } = &mut step {
            for (word, value) in &self.0 {
                *line = line.replace(word, value);
            }
        }
        step
    }
}

/// The result of a request that opens a thread.
fn opened() -> String {
    r#"{"thread":{"id":$THREAD,"path":$ROLLOUT},"model":"gpt-5.5","cwd":$CWD,"approvalPolicy":"never","sandbox":{"type":"dangerFullAccess"}}"#.to_owned()
}

/// What the real one does.
fn usual(method: &str, prompt: &str) -> Vec<Step> {
    let line = match method {
        "initialize" => r#"{"id":$ID,"result":{"userAgent":"x/0.169.0"}}"#,
        "thread/start" | "thread/resume" => r#"{"id":$ID,"result":$RESULT}"#,
        "turn/start" => {
            let item =
                json!({ "type": "agentMessage", "id": "m", "text": format!("echo: {prompt}") });
            let usage = json!({ "totalTokens": 12, "inputTokens": 10, "cachedInputTokens": 0, "outputTokens": 2, "reasoningOutputTokens": 0 });
            let usage = json!({ "total": usage, "last": usage, "modelContextWindow": 1000 });
            return vec![
                Step::turn_accepted(),
                Step::turn_started(),
                Step::emit(format!(
                    r#"{{"method":"item/completed","params":{{"item":{item},"threadId":$THREAD,"turnId":$TURN}}}}"#
                )),
                Step::emit(format!(
                    r#"{{"method":"thread/tokenUsage/updated","params":{{"threadId":$THREAD,"turnId":$TURN,"tokenUsage":{usage}}}}}"#
                )),
                Step::turn_completed("completed"),
            ];
        }
        "turn/interrupt" => {
            return vec![
                Step::emit(r#"{"id":$ID,"result":{}}"#),
                Step::turn_completed("interrupted"),
            ];
        }
        _ => r#"{"id":$ID,"error":{"code":-32600,"message":"unknown variant"}}"#,
    };
    vec![Step::emit(line)]
}
