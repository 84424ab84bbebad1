//! The methods, and what each takes.
//!
//! The members that this protocol adds are in camelCase, as in LSP, MCP and codex's own app-server.
//! Messages and events are the canonical ones, as they are everywhere else.

use std::path::PathBuf;

use plexum_openai_provider::{Message, Request};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::unsupported_version;
use crate::json_rpc::error::RpcError;
use crate::json_rpc::message::said;

/// The version of this protocol. It grows when a message changes its meaning; members and events may
/// be added without.
pub const PROTOCOL_VERSION: u64 = 1;

/// The names of the methods.
pub const METHODS: [&str; 7] = [
    "initialize",
    "models/list",
    "metrics/get",
    "turn/start",
    "turn/cancel",
    "ping",
    "shutdown",
];

/// The params of `initialize`. Others are passed over: clients for several protocols send theirs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeParams {
    protocol_version: Option<u64>,
    client_info: Option<ClientInfo>,
}

/// Who asks, for the log.
#[derive(Deserialize)]
pub struct ClientInfo {
    pub name: String,
    pub version: Option<String>,
}

/// The client that `initialize` names, if it speaks this protocol.
pub fn initialize(params: Option<&RawValue>) -> Result<Option<ClientInfo>, RpcError> {
    let params: InitializeParams = read(params)?;
    match params.protocol_version {
        Some(PROTOCOL_VERSION) => Ok(params.client_info),
        Some(other) => Err(unsupported_version(other, PROTOCOL_VERSION)),
        None => Err(missing(
            "protocolVersion",
            &format!("write {PROTOCOL_VERSION}"),
        )),
    }
}

/// The params of `turn/start`. An unknown one is refused: a turn must not begin without something
/// that was meant to restrain it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TurnStartParams {
    workspace: Option<PathBuf>,
    model: Option<String>,
    session: Option<String>,
    instructions: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    #[serde(default)]
    options: TurnOptions,
}

/// How the model is to work on the turn.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct TurnOptions {
    effort: Option<String>,
    output_schema: Option<Box<RawValue>>,
}

/// A turn that was asked for.
#[derive(Debug)]
pub struct TurnStart {
    pub workspace: PathBuf,
    pub request: Request,
}

/// The turn that `turn/start` asks for.
pub fn turn_start(params: Option<&RawValue>) -> Result<TurnStart, RpcError> {
    let params: TurnStartParams = read(params)?;
    let workspace = params
        .workspace
        .ok_or_else(|| missing("workspace", "name the folder that codex works in"))?;
    if !workspace.is_absolute() {
        let problem = format!(
            "`{}` is not an absolute path, and a relative one would depend on where the server was started",
            workspace.display()
        );
        return Err(RpcError::invalid_params("workspace", &problem));
    }
    let messages = match (params.messages, params.prompt) {
        (Some(messages), None) => messages,
        (None, Some(prompt)) => vec![Message::user(prompt)],
        (None, None) => {
            return Err(missing(
                "messages",
                "send the conversation, or `prompt` for one message",
            ));
        }
        (Some(_), Some(_)) => {
            let problem = "is given beside `messages`; send only one of them";
            return Err(RpcError::invalid_params("prompt", problem));
        }
    };
    let mut request = Request::new(messages);
    request.model = params.model;
    request.session = params.session;
    request.instructions = params.instructions;
    request.options.effort = params.options.effort;
    request.options.output_schema = params.options.output_schema;
    Ok(TurnStart { workspace, request })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TurnCancelParams {
    turn_id: Option<String>,
}

/// The turn that `turn/cancel` names.
pub fn turn_cancel(params: Option<&RawValue>) -> Result<String, RpcError> {
    let params: TurnCancelParams = read(params)?;
    let answer_of = "it is in the answer to `turn/start`";
    params.turn_id.ok_or_else(|| missing("turnId", answer_of))
}

/// The params of the methods that need none; clients may put anything into them.
#[derive(Deserialize)]
struct NoParams {}

/// Checks the params of a method that needs none.
pub fn no_params(params: Option<&RawValue>) -> Result<(), RpcError> {
    read(params).map(|NoParams {}| ())
}

/// Reads params, which are named and never positional.
fn read<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Result<T, RpcError> {
    let text = params.map_or("{}", RawValue::get);
    if !text.starts_with('{') {
        let problem = "is an array; name the members in an object";
        return Err(RpcError::invalid_params("params", problem));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = match error.path().to_string() {
            // The library's path for "no field".
            path if matches!(path.as_str(), "." | "?") => "params".to_owned(),
            path => path,
        };
        RpcError::invalid_params(&field, &said(error.inner()))
    })
}

fn missing(field: &str, remedy: &str) -> RpcError {
    RpcError::invalid_params(field, &format!("is missing; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    fn field(error: &RpcError) -> &str {
        assert_eq!(error.code, -32602, "{error:?}");
        error.data.as_ref().unwrap()["field"].as_str().unwrap()
    }

    #[test]
    fn a_turn_is_asked_for_with_a_prompt_or_with_messages() {
        let prompt = raw(r#"{"workspace":"/w","model":"m","prompt":"hi"}"#);
        let messages =
            raw(r#"{"workspace":"/w","model":"m","messages":[{"role":"user","content":"hi"}]}"#);
        for params in [prompt, messages] {
            let TurnStart { workspace, request } = turn_start(Some(params)).unwrap();
            assert_eq!(workspace, PathBuf::from("/w"));
            assert_eq!(request.model.as_deref(), Some("m"));
            assert_eq!(request.messages, [Message::user("hi")]);
        }
    }

    #[test]
    fn everything_else_that_a_request_holds_is_taken() {
        let params = raw(
            r#"{"workspace":"/w","session":"s","instructions":"i","prompt":"hi","options":{"effort":"high","outputSchema":{ "z":1e400,"a":{},"z":2 }}}"#,
        );
        let TurnStart { request, .. } = turn_start(Some(params)).unwrap();
        assert_eq!(request.session.as_deref(), Some("s"));
        assert_eq!(request.instructions.as_deref(), Some("i"));
        assert_eq!(request.options.effort.as_deref(), Some("high"));
        let schema = request.options.output_schema.unwrap();
        assert_eq!(schema.get(), r#"{ "z":1e400,"a":{},"z":2 }"#);
    }

    #[test]
    fn wrong_params_are_named() {
        for (params, expected, said) in [
            ("{}", "workspace", "is missing"),
            (r#"["/w"]"#, "params", "is an array"),
            (
                r#"{"workspace":"w","prompt":"x"}"#,
                "workspace",
                "`w` is not an absolute path",
            ),
            (
                r#"{"workspace":7}"#,
                "workspace",
                "invalid type: integer `7`",
            ),
            (r#"{"workspace":"/w"}"#, "messages", "is missing"),
            (
                r#"{"workspace":"/w","prompt":"x","messages":[]}"#,
                "prompt",
                "beside `messages`",
            ),
            (
                r#"{"workspace":"/w","promt":"x"}"#,
                "promt",
                "unknown field `promt`",
            ),
            (
                r#"{"workspace":"/w","messages":[{"role":"you","content":""}]}"#,
                "messages[0].role",
                "unknown variant `you`",
            ),
            (
                r#"{"workspace":"/w","prompt":"x","options":{"effort":7}}"#,
                "options.effort",
                "invalid type: integer `7`",
            ),
            (
                r#"{"workspace":"/w","prompt":"x","options":{"temperature":1}}"#,
                "options.temperature",
                "unknown field `temperature`",
            ),
            (
                r#"{"workspace":"/w","messages":[{"role":"user"}]}"#,
                "messages[0]",
                "missing field `content`",
            ),
            (
                r#"{"workspace":"/w","messages":[{"role":"user","content":7}]}"#,
                "messages[0].content",
                "expected a string, or an array",
            ),
        ] {
            let error = turn_start(Some(raw(params))).unwrap_err();
            assert_eq!(field(&error), expected, "{params}: {error:?}");
            assert!(error.message.contains(said), "{params}: {error:?}");
            assert!(!error.message.contains(" column "), "{error:?}");
        }
        assert_eq!(field(&turn_start(None).unwrap_err()), "workspace");
        assert_eq!(field(&turn_cancel(Some(raw("{}"))).unwrap_err()), "turnId");
        assert_eq!(
            field(&turn_cancel(Some(raw(r#"{"turnId":7}"#))).unwrap_err()),
            "turnId"
        );
    }

    #[test]
    fn another_version_is_refused_and_the_right_one_named() {
        let error = initialize(Some(raw(r#"{"protocolVersion":2}"#)))
            .err()
            .unwrap();
        assert_eq!(field(&error), "protocolVersion");
        assert_eq!(error.data.unwrap()["supported"], serde_json::json!([1]));
        for params in [r#"{"protocolVersion":"2025-06-18"}"#, "{}"] {
            let error = initialize(Some(raw(params))).err().unwrap();
            assert_eq!(field(&error), "protocolVersion");
        }
        let params =
            raw(r#"{"protocolVersion":1,"capabilities":{},"clientInfo":{"name":"x","title":"X"}}"#);
        assert_eq!(initialize(Some(params)).ok().flatten().unwrap().name, "x");
    }

    #[test]
    fn what_needs_no_params_takes_any() {
        for params in [None, Some(raw("{}")), Some(raw(r#"{"_meta":1}"#))] {
            assert!(no_params(params).is_ok());
        }
        assert!(no_params(Some(raw("[1]"))).is_err());
    }
}
