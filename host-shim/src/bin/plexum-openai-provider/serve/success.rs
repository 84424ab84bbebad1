//! The results of the methods.

use serde::Serialize;

use super::line::MAX_LINE_BYTES;
use super::method::PROTOCOL_VERSION;

/// The `result` of an answer.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Success {
    /// To `initialize`.
    Initialized {
        protocol_version: u64,
        server_info: ServerInfo,
        component: ComponentInfo,
        capabilities: Capabilities,
    },
    /// To `models/list`.
    Models { models: Vec<Model> },
    /// To `turn/start`.
    TurnStarted { turn_id: String },
    /// To all others: it was done.
    Done {},
}

/// This program.
#[derive(Debug, Serialize)]
pub struct ServerInfo {
    pub name: &'static str,
    pub version: &'static str,
}

/// The component that it runs.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentInfo {
    /// The id that a runtime's allow-list names.
    pub id: String,
    pub version: String,
    /// Of its bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// What a client may rely on beyond the methods.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Where images may be, by the `type` of their `source`.
    pub image_sources: [&'static str; 2],
    /// The longest line that is read.
    pub max_line_bytes: usize,
}

/// A model that `turn/start` may name.
#[derive(Debug, Clone, Serialize)]
pub struct Model {
    pub id: String,
    /// Whether it is the one for a `turn/start` that names none.
    pub default: bool,
}

/// The answer to `initialize`.
pub fn initialized(component: ComponentInfo) -> Success {
    Success::Initialized {
        protocol_version: PROTOCOL_VERSION,
        server_info: ServerInfo {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        },
        component,
        capabilities: Capabilities {
            image_sources: ["path", "base64"],
            max_line_bytes: MAX_LINE_BYTES,
        },
    }
}
