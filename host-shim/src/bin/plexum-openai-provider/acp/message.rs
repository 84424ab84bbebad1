//! What the agent sends: the results of the methods, and what happens in a session.

use plexum_openai_provider::{IndexedSession, StopReason, Usage};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::method::PROTOCOL_VERSION;
use super::options::ConfigOption;
use crate::json_rpc::outgoing::Outgoing;

/// What the agent sends.
pub type Message = Outgoing<Success, Updated>;

/// The result of a method.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Success {
    /// Of `initialize`.
    Initialized {
        protocol_version: u16,
        agent_capabilities: AgentCapabilities,
        auth_methods: Vec<AuthMethod>,
        agent_info: Implementation,
    },
    /// Of `session/new`.
    NewSession {
        session_id: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        config_options: Vec<ConfigOption>,
    },
    /// Of `session/load`, `session/resume` and `session/set_config_option`.
    Options { config_options: Vec<ConfigOption> },
    /// Of `session/list`.
    Sessions {
        sessions: Vec<SessionInfo>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_cursor: Option<String>,
    },
    /// Of `session/prompt`.
    Prompted {
        stop_reason: Stopped,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<TurnUsage>,
    },
    /// Of all others.
    Done {},
}

impl Success {
    /// Of a prompt that was cancelled before its turn.
    pub fn cancelled() -> Self {
        Success::Prompted {
            stop_reason: Stopped::Cancelled,
            usage: None,
        }
    }
}

/// What the agent can do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentCapabilities {
    /// Whether it tells what was said before in a session.
    load_session: bool,
    prompt_capabilities: PromptCapabilities,
    mcp_capabilities: McpCapabilities,
    session_capabilities: SessionCapabilities,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PromptCapabilities {
    image: bool,
    audio: bool,
    embedded_context: bool,
}

#[derive(Debug, Serialize)]
struct McpCapabilities {
    http: bool,
    sse: bool,
}

#[derive(Debug, Serialize)]
struct SessionCapabilities {
    resume: Empty,
    list: Empty,
    close: Empty,
    delete: Empty,
}

#[derive(Debug, Serialize)]
struct Empty {}

/// A way to log in.
#[derive(Debug, Serialize)]
pub struct AuthMethod {
    /// `terminal`, if the client runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    id: &'static str,
    name: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<&'static str>,
}

/// The one way to log in.
pub const LOGIN: &str = "codex-login";

impl AuthMethod {
    /// `codex login`, by the user in a terminal, or by the client if it can.
    fn codex_login(by_client: bool) -> Self {
        AuthMethod {
            r#type: by_client.then_some("terminal"),
            id: LOGIN,
            name: "codex login",
            description: if by_client {
                "Log in to codex in a terminal"
            } else {
                "Run `codex login` in a terminal, then continue here"
            },
            args: if by_client {
                vec!["--login"]
            } else {
                Vec::new()
            },
        }
    }
}

/// This program.
#[derive(Debug, Serialize)]
pub struct Implementation {
    name: &'static str,
    title: &'static str,
    version: &'static str,
}

/// The answer to `initialize`.
pub fn initialized(has_terminal_login: bool, images: bool, history: bool) -> Success {
    Success::Initialized {
        protocol_version: PROTOCOL_VERSION,
        agent_capabilities: AgentCapabilities {
            load_session: history,
            prompt_capabilities: PromptCapabilities {
                image: images,
                audio: false,
                embedded_context: true,
            },
            mcp_capabilities: McpCapabilities {
                http: false,
                sse: false,
            },
            session_capabilities: SessionCapabilities {
                resume: Empty {},
                list: Empty {},
                close: Empty {},
                delete: Empty {},
            },
        },
        auth_methods: vec![AuthMethod::codex_login(has_terminal_login)],
        agent_info: Implementation {
            name: env!("CARGO_PKG_NAME"),
            title: "Codex in Plexum's sandbox",
            version: env!("CARGO_PKG_VERSION"),
        },
    }
}

/// A session in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    session_id: String,
    cwd: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    updated_at: String,
}

impl From<IndexedSession> for SessionInfo {
    fn from(session: IndexedSession) -> Self {
        SessionInfo {
            cwd: session.workspace().to_string_lossy().into_owned(),
            session_id: session.id,
            title: session.title,
            updated_at: session.updated,
        }
    }
}

/// Why a prompt is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    EndTurn,
    MaxTokens,
    Refusal,
    Cancelled,
}

impl Stopped {
    /// The reason of a turn that has not failed.
    pub fn of(reason: StopReason) -> Option<Self> {
        Some(match reason {
            StopReason::EndTurn => Stopped::EndTurn,
            StopReason::MaxTokens => Stopped::MaxTokens,
            StopReason::Refusal => Stopped::Refusal,
            StopReason::Aborted => Stopped::Cancelled,
            // A failure.
            _ => return None,
        })
    }
}

/// The tokens of a turn. This member of the protocol is a draft still, which clients read already.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnUsage {
    total_tokens: u64,
    /// Without those that came from a cache.
    input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_read_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_write_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_tokens: Option<u64>,
}

impl From<Usage> for TurnUsage {
    fn from(usage: Usage) -> Self {
        let cached = usage.cached_input_tokens.unwrap_or_default();
        TurnUsage {
            total_tokens: usage.input_tokens.saturating_add(usage.output_tokens),
            input_tokens: usage.input_tokens.saturating_sub(cached),
            output_tokens: usage.output_tokens,
            cached_read_tokens: usage.cached_input_tokens,
            cached_write_tokens: usage.cache_write_input_tokens,
            thought_tokens: usage.reasoning_output_tokens,
        }
    }
}

/// The params of a `session/update`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Updated {
    session_id: String,
    update: Update,
}

/// Something that happened in a session.
#[expect(clippy::enum_variant_names, reason = "these are the protocol's names")]
#[derive(Debug, Serialize)]
#[serde(
    tag = "sessionUpdate",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Update {
    /// Text of a prompt of before.
    UserMessageChunk { content: Text, message_id: String },
    /// Text of the answer.
    AgentMessageChunk { content: Text, message_id: String },
    /// Text of the reasoning, or about what happens.
    AgentThoughtChunk { content: Text, message_id: String },
    /// A tool began.
    ToolCall {
        tool_call_id: String,
        title: String,
        kind: ToolKind,
        status: ToolStatus,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<ToolContent>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        locations: Vec<Location>,
        raw_input: Box<RawValue>,
    },
    /// It goes on, or has ended.
    ToolCallUpdate {
        tool_call_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<ToolStatus>,
        /// In the place of what there was.
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Vec<ToolContent>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        raw_output: Option<Value>,
    },
    /// The plan, whole.
    Plan { entries: Vec<PlanEntry> },
    /// How full the model's context is, in tokens.
    UsageUpdate { used: u64, size: u64 },
    /// What to show of the session in a list.
    SessionInfoUpdate { title: String, updated_at: String },
    /// Something that the user should know.
    Notice { severity: Severity, title: String },
}

/// A text.
#[derive(Debug, Serialize)]
pub struct Text {
    r#type: TextType,
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum TextType {
    Text,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text {
            r#type: TextType::Text,
            text,
        }
    }
}

/// What a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    Edit,
    Execute,
    Fetch,
    Other,
}

/// How far a tool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    InProgress,
    Completed,
    Failed,
}

/// What a tool has produced.
#[derive(Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum ToolContent {
    /// A text.
    Content { content: Text },
    /// A change of a file.
    Diff {
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        old_text: Option<String>,
        new_text: String,
    },
}

/// A file that a tool works on.
#[derive(Debug, Serialize)]
pub struct Location {
    pub path: String,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// A step of the plan.
#[derive(Debug, Serialize)]
pub struct PlanEntry {
    pub content: String,
    pub priority: Priority,
    pub status: StepStatus,
}

/// How important a step is: codex does not say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Medium,
}

/// How far a step is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Pending,
    InProgress,
    Completed,
}

/// How a notice is to be shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
}

/// The notification of what happened.
pub fn updated(session_id: &str, update: Update) -> Message {
    let session_id = session_id.to_owned();
    Outgoing::notification("session/update", Updated { session_id, update })
}
