//! The methods, and what each takes.
//!
//! Members that are not named here are passed over, as the protocol asks of an agent: clients of later versions send more.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::content::Block;
use crate::json_rpc::error::RpcError;
use crate::json_rpc::message::said;

/// The version of the protocol.
pub const PROTOCOL_VERSION: u16 = 1;

/// The names of the methods.
pub const METHODS: [&str; 12] = [
    "initialize",
    "authenticate",
    "session/new",
    "session/load",
    "session/resume",
    "session/list",
    "session/close",
    "session/delete",
    "session/set_config_option",
    "session/prompt",
    "session/cancel",
    "$/cancel_request",
];

/// The params of `initialize`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Initialize {
    /// The latest version that the client speaks. Whatever it is, the answer is ours.
    #[serde(rename = "protocolVersion")]
    _protocol_version: u16,
    #[serde(default, deserialize_with = "or_default")]
    pub client_capabilities: ClientCapabilities,
    #[serde(default, deserialize_with = "or_default")]
    pub client_info: Option<ClientInfo>,
}

/// What the client can do. It may offer to read files and to run commands: codex does both itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClientCapabilities {
    #[serde(deserialize_with = "or_default")]
    session: ClientSessionCapabilities,
    #[serde(deserialize_with = "or_default")]
    auth: AuthCapabilities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClientSessionCapabilities {
    #[serde(deserialize_with = "or_default")]
    notices: Option<Empty>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AuthCapabilities {
    #[serde(deserialize_with = "or_default")]
    terminal: bool,
}

/// An object that only has to be there.
#[derive(Debug, Deserialize)]
struct Empty {}

impl ClientCapabilities {
    /// Whether it shows notices to its user.
    pub fn shows_notices(&self) -> bool {
        self.session.notices.is_some()
    }

    /// Whether it can run this program in a terminal, to log in.
    pub fn has_terminal_login(&self) -> bool {
        self.auth.terminal
    }
}

/// Who asks, for the log.
#[derive(Debug, Deserialize)]
pub struct ClientInfo {
    pub name: String,
    pub version: Option<String>,
}

/// The params of `session/new`, and with the id of a session beside them, those of `session/load` and `session/resume`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewSession {
    pub cwd: PathBuf,
    #[serde(default, deserialize_with = "null_is_default")]
    pub mcp_servers: Vec<McpServer>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub additional_directories: Vec<PathBuf>,
}

/// An MCP server that the client wants to be used: a command, or else where one is.
#[derive(Debug, PartialEq, Deserialize)]
pub struct McpServer {
    /// Absent of a command.
    #[serde(default)]
    pub r#type: Option<String>,
    pub name: String,
    #[serde(default)]
    pub command: Option<String>,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default, deserialize_with = "variables")]
    pub env: Vec<Variable>,
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub headers: Vec<Variable>,
}

/// A variable, or a header, that a server is to get.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

/// The params of `session/list`.
#[derive(Debug, Default, Deserialize)]
pub struct ListSessions {
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    #[serde(default)]
    pub cursor: Option<String>,
}

/// The params of a method that is about a session and nothing else.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfSession {
    pub session_id: String,
}

/// The params of `session/prompt`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    pub session_id: String,
    pub prompt: Vec<Block>,
}

/// The params of `session/set_config_option`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetOption {
    pub session_id: String,
    pub config_id: String,
    pub value: String,
}

/// The params of `authenticate`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authenticate {
    pub method_id: String,
}

/// The params of `$/cancel_request`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelRequest {
    pub request_id: Box<RawValue>,
}

/// The params as a method takes them.
pub fn read<T: DeserializeOwned>(params: Option<&RawValue>) -> Result<T, RpcError> {
    let text = params.map_or("{}", RawValue::get);
    if text.starts_with('[') {
        return Err(RpcError::invalid_params(
            "params",
            "is an array; send an object",
        ));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { "params" } else { &field };
        RpcError::invalid_params(field, &said(error.inner()))
    })
}

/// Checks that a folder is named in full.
pub fn absolute(field: &str, folder: &Path) -> Result<(), RpcError> {
    if folder.is_absolute() {
        return Ok(());
    }
    let problem = format!("`{}` is not an absolute path", folder.display());
    Err(RpcError::invalid_params(field, &problem))
}

/// A member that counts as absent where it is not what it should be: the schema marks those with
/// `x-deserialize-default-on-error`.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + DeserializeOwned,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// Variables as the protocol has them, a list, or as some clients have them: an object with their values.
fn variables<'de, D>(deserializer: D) -> Result<Vec<Variable>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    struct Read;

    impl<'de> Visitor<'de> for Read {
        type Value = Vec<Variable>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array of variables")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Deserialize::deserialize(SeqAccessDeserializer::new(list))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
            let mut variables = Vec::new();
            while let Some((name, value)) = object.next_entry()? {
                variables.push(Variable { name, value });
            }
            Ok(variables)
        }
    }

    deserializer.deserialize_any(Read)
}

/// A member that may be null instead of empty (`x-deserialize-default-on-null`).
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<T: DeserializeOwned>(params: &str) -> Result<T, String> {
        let raw: &RawValue = serde_json::from_str(params).unwrap();
        read(Some(raw)).map_err(|error| error.message)
    }

    #[test]
    fn any_version_is_taken_and_what_a_client_offers_is_passed_over() {
        let params = r#"{"protocolVersion":2,"clientCapabilities":{"fs":{"readTextFile":true,"writeTextFile":true},"terminal":true,"session":{"notices":{}},"auth":{"terminal":true},"x":1},"clientInfo":{"name":"e","title":"E","version":"1"}}"#;
        let read: Initialize = of(params).unwrap();
        assert!(read.client_capabilities.shows_notices());
        assert!(read.client_capabilities.has_terminal_login());
        for odd in [
            r#"{"protocolVersion":1}"#,
            r#"{"protocolVersion":1,"clientCapabilities":null,"clientInfo":null}"#,
            r#"{"protocolVersion":1,"clientCapabilities":{"session":7,"auth":{"terminal":"yes"}},"clientInfo":{}}"#,
        ] {
            let read: Initialize = of(odd).unwrap();
            assert!(!read.client_capabilities.shows_notices(), "{odd}");
            assert!(!read.client_capabilities.has_terminal_login(), "{odd}");
        }
        let error = of::<Initialize>(r#"{"protocolVersion":"2025-06-18"}"#).unwrap_err();
        assert!(error.contains("`protocolVersion`"), "{error}");
        let error = of::<Initialize>("{}").unwrap_err();
        assert!(error.contains("missing field `protocolVersion`"), "{error}");
    }

    #[test]
    fn a_session_is_read_with_the_servers_that_it_wants() {
        let params = r#"{"cwd":"/w","additionalDirectories":null,"mcpServers":[{"name":"a","command":"/bin/a","args":["-x"],"env":[]},{"type":"http","name":"b","url":"http://b","headers":[]}]}"#;
        let read: NewSession = of(params).unwrap();
        let names: Vec<_> = read.mcp_servers.iter().map(|s| &*s.name).collect();
        assert_eq!(names, ["a", "b"]);
        let params = r#"{"cwd":"/w","mcpServers":[{"name":"a","command":"/bin/a","env":[{"name":"A","value":"b"}]},{"name":"a","command":"/bin/a","env":{"A":"b"}}]}"#;
        let other: NewSession = of(params).unwrap();
        assert_eq!(other.mcp_servers[0], other.mcp_servers[1]);
        let web = &read.mcp_servers[1];
        assert_eq!(
            (&web.command, web.url.as_deref()),
            (&None, Some("http://b"))
        );
        for (params, field) in [
            (r#"{"cwd":7}"#, "`cwd`"),
            (r#"{"cwd":"/w","mcpServers":[7]}"#, "`mcpServers[0]`"),
            (
                r#"{"cwd":"/w","mcpServers":[{"name":"a","env":{"A":7}}]}"#,
                "`mcpServers[0].env.A`",
            ),
            (
                r#"{"cwd":"/w","mcpServers":[{"command":"/bin/a"}]}"#,
                "`mcpServers[0]`",
            ),
        ] {
            let error = of::<NewSession>(params).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    }
}
