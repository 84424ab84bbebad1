//! The JSON Schema of the operator's file, made from the types that read it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::Config;

/// An absolute path.
pub(super) const PATH: &str = r"^/[^\u0000]*$";

/// A name with a letter in it.
pub(super) const NAME: &str = r"\S";

/// A SHA-256.
pub(super) const SHA256: &str = "^[0-9A-Fa-f]{64}$";

/// A name of an environment variable, or a pattern with one star at an end, after `!` or not.
pub(super) const VARIABLE: &str = r"^!?(\*[^*=\u0000]*|[^*=!\u0000][^*=\u0000]*\*?)$";

/// Anything but `--` and NUL, without the lookahead that not every validator has.
const ARGUMENT: &str = r"^(-?|--[^\u0000]+|-[^-\u0000][^\u0000]*|[^-\u0000][^\u0000]*)$";

/// The schema, draft 2020-12. It says all that [`Config::parse`] demands but for what one key has to do
/// with another, such as a model of `model_args` that is not in `supported_models`.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12();
    settings
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
}

/// Arguments of codex.
pub(super) fn argument() -> Value {
    json!({ "type": "string", "pattern": ARGUMENT })
}

/// The arguments of each model.
pub(super) fn arguments() -> Value {
    json!({ "type": "array", "items": argument() })
}
