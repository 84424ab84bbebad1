//! What `codex app-server` may be told, as the operator's configuration fills it in.
//!
//! **Invariant:** the host composes each of these as it composes the real ones (`app_server/outgoing.rs`), with a placeholder
//! for each free part. So nothing here can differ from what is sent.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::app_server::arguments::arguments;
use crate::app_server::outgoing::{self, Prompt, Terms};
use crate::config::{Config, Instructions, ServerArguments, Transport};

/// What a codex that stays may be told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerGrant {
    /// What codex may be started with, one list for each set of arguments.
    pub arguments: Vec<Vec<String>>,
    /// The messages, in the order in which they are sent.
    pub messages: Vec<Message>,
}

/// A message that the host may send.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Message {
    /// Its method; "error" for the answer to a request of codex.
    pub method: String,
    /// Its parameters; a text in angle brackets stands for a free part.
    pub params: Value,
    /// Those of its parameters that may be left out.
    pub optional: Vec<String>,
    /// When it is sent.
    pub meaning: String,
}

/// The thread that this workspace's session file holds, or that codex has just opened.
pub const THREAD_ID: &str = "<thread id>";
/// The turn, as codex has named it, or nothing as long as it has not.
pub const TURN_ID: &str = "<turn id>";
/// The workspace.
pub const WORKSPACE: &str = "<workspace>";
/// The arguments of the model of the request.
pub const MODEL: &str = "<model>";
/// The instructions and system messages of the request.
pub const INSTRUCTIONS: &str = "<instructions>";
/// The prompt.
pub const PROMPT: &str = "<prompt>";
/// The host's copy of an image of the request.
pub const IMAGE: &str = "<image>";
/// The effort of the request.
pub const EFFORT: &str = "<effort>";
/// The output schema of the request.
pub const SCHEMA: &str = "<schema>";

/// What the configuration grants; nothing unless it says that codex may stay.
pub fn server_grant(config: &Config) -> Option<ServerGrant> {
    if config.transport() != Transport::AppServer {
        return None;
    }
    let mut all: Vec<Vec<String>> = Vec::new();
    for model in &config.supported_models {
        let model_args = config.args_of(&model.id);
        let sorted = ServerArguments::of(model_args.iter().chain(&config.extra_args));
        // A configuration that was checked has no others.
        let Ok(sorted) = sorted else { continue };
        let arguments = arguments(&sorted);
        if !all.contains(&arguments) {
            all.push(arguments);
        }
    }
    Some(ServerGrant {
        arguments: all,
        messages: messages(config).unwrap_or_default(),
    })
}

fn messages(config: &Config) -> serde_json::Result<Vec<Message>> {
    let terms = Terms::new(config.sandbox, Some(MODEL));
    let instructions = (config.instructions == Instructions::Developer).then_some(INSTRUCTIONS);
    let schema = RawValue::from_string(format!("{SCHEMA:?}"))?;
    let image = Path::new(IMAGE);
    let prompt = Prompt {
        text: PROMPT,
        images: &[image],
        effort: Some(EFFORT),
        output_schema: Some(&schema),
    };
    let id = RawValue::from_string("0".into())?;
    [
        (
            outgoing::initialize(0)?,
            &[][..],
            "once, when codex has started; `initialized` follows",
        ),
        (
            outgoing::thread_start(0, terms, instructions)?,
            &["model", "developerInstructions"],
            "opens a new conversation; in the workspace, for codex was started there",
        ),
        (
            outgoing::thread_resume(0, THREAD_ID, Path::new(WORKSPACE), terms, true)?,
            &["model", "excludeTurns"],
            "opens the conversation that this workspace's session file holds",
        ),
        (
            outgoing::turn_start(0, THREAD_ID, prompt)?,
            &["effort", "outputSchema"],
            "gives codex the prompt, and any number of the request's images",
        ),
        (
            outgoing::turn_interrupt(0, THREAD_ID, TURN_ID)?,
            &[],
            "asks codex to end the turn",
        ),
        (
            outgoing::refusal(&id)?,
            &[],
            "answers each request of codex",
        ),
    ]
    .into_iter()
    .map(|(lines, optional, meaning)| message(&lines, optional, meaning))
    .collect()
}

/// The first of these lines, as a message.
fn message(lines: &str, optional: &[&str], meaning: &str) -> serde_json::Result<Message> {
    let line = lines.lines().next().unwrap_or_default();
    let mut message: Value = serde_json::from_str(line)?;
    let (method, member) = match message.get("method").and_then(Value::as_str) {
        Some(method) => (method.to_owned(), "params"),
        None => ("error".to_owned(), "error"),
    };
    Ok(Message {
        method,
        params: message.get_mut(member).map(Value::take).unwrap_or_default(),
        optional: optional.iter().map(|name| (*name).to_owned()).collect(),
        meaning: meaning.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Sandbox, SupportedModel};

    #[test]
    fn only_a_codex_that_may_stay_may_be_told_anything() {
        assert_eq!(server_grant(&Config::default()), None);
    }

    #[test]
    fn the_configuration_is_filled_in() {
        let config = Config {
            transport: Some(Transport::AppServer),
            sandbox: Sandbox::ReadOnly,
            supported_models: ["codex", "m", "n"].map(SupportedModel::new).into(),
            model_args: [("n".to_owned(), vec!["-c".into(), "a=1".into()])].into(),
            instructions: Instructions::Ignore,
            ..Config::default()
        };
        let grant = server_grant(&config).unwrap();
        let fixed = [
            "app-server",
            "-c",
            "features.unbounded_connection_retries=false",
        ];
        // Two models differ in the model only, which is not an argument here.
        assert_eq!(
            grant.arguments,
            [fixed.to_vec(), [&fixed[..], &["-c", "a=1"]].concat()]
        );
        let methods: Vec<_> = grant
            .messages
            .iter()
            .map(|message| &*message.method)
            .collect();
        assert_eq!(
            methods,
            [
                "initialize",
                "thread/start",
                "thread/resume",
                "turn/start",
                "turn/interrupt",
                "error"
            ]
        );
        assert_eq!(
            grant.messages.get(1).unwrap().params,
            json!({ "sandbox": "read-only", "approvalPolicy": "never", "model": "<model>" })
        );
        assert_eq!(
            grant.messages.get(5).unwrap().params,
            json!({ "code": -32601, "message": "not supported" })
        );
    }
}
