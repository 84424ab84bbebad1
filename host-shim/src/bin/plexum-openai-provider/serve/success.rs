//! The results of the methods.

use plexum_openai_provider::{Capability, Metrics};
use serde::Serialize;

use super::method::PROTOCOL_VERSION;
use crate::json_rpc::line::MAX_LINE_BYTES;

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
    /// To `metrics/get`: the counters, under their names in the library.
    Metrics { metrics: Box<Metrics> },
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
    /// What the provider can do, as it is configured; by the names of the contract, in snake_case.
    pub provider: Vec<Capability>,
    /// Where images may be, by the `type` of their `source`.
    pub image_sources: [&'static str; 2],
    /// The longest line that is read.
    pub max_line_bytes: usize,
}

/// A model that `turn/start` may name.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    pub id: String,
    /// Whether it is the one for a `turn/start` that names none.
    pub default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// How many tokens a conversation with it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Whether a message for it may hold images.
    pub images: bool,
    /// The efforts that it takes, the least first. Empty: not known.
    pub efforts: Vec<String>,
}

impl Model {
    /// The model of this description.
    pub fn new(model: plexum_openai_provider::Model, default: bool) -> Self {
        Model {
            id: model.id,
            default,
            display_name: model.display_name,
            context_window: model.context_window,
            images: model.images,
            efforts: model.efforts,
        }
    }
}

/// The answer to `initialize`.
pub fn initialized(component: ComponentInfo, provider: &[Capability]) -> Success {
    Success::Initialized {
        protocol_version: PROTOCOL_VERSION,
        server_info: ServerInfo {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        },
        component,
        capabilities: Capabilities {
            provider: provider.to_vec(),
            image_sources: ["path", "base64"],
            max_line_bytes: MAX_LINE_BYTES,
        },
    }
}
