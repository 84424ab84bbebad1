//! How the provider describes itself.

use serde::{Deserialize, Serialize};

/// How the provider describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Description {
    /// The id that a runtime's allow-list names.
    pub id: String,
    /// The component's version.
    pub version: String,
    /// The models on offer, the default one first.
    pub models: Vec<Model>,
    /// What it can do, as it is configured, in the order of [`Capability`].
    pub capabilities: Vec<Capability>,
}

/// A model on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Model {
    /// The name by which a request selects it.
    pub id: String,
    /// Its name for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// How many tokens a conversation with it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Whether a message for it may hold images.
    pub images: bool,
    /// The values that an effort may have, the least first. Empty: not known.
    pub efforts: Vec<String>,
}

/// What a provider can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
    /// Text may come as it is written; without this, it comes a block at a time.
    StreamingDeltas,
    /// A running tool may show its output.
    ToolUpdates,
    /// Messages may hold images.
    Images,
    /// It keeps conversations.
    Resumable,
    /// It honours instructions and messages of role `system`.
    Instructions,
    /// It honours an output schema.
    StructuredOutput,
    /// It honours an effort.
    Effort,
}
