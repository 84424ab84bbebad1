//! What other wrappers of codex make of a line.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// An event as codex-wrapper 0.4.7 has it, which it reads with `serde_json::from_str`. The crate itself would bring its
/// own dependencies into this workspace, for one struct.
#[derive(Deserialize)]
pub struct WrapperEvent {
    #[serde(rename = "type", default)]
    _kind: String,
    #[serde(flatten)]
    _members: HashMap<String, Value>,
}
