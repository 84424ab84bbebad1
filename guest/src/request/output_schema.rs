//! The form of the answer.

use alloc::format;
use alloc::string::ToString;

use crate::bindings::turns::FailureKind;
use crate::json::Json;
use crate::request::Unusable;

/// The longest schema, in bytes. The host has the same limit in `host-shim/src/capability/handover.rs`, written
/// twice on purpose.
const MAX_BYTES: usize = 1024 * 1024;

/// Refuses what codex would refuse after it has opened a thread for it: a JSON Schema is a JSON object.
pub fn check(schema: &str) -> Result<(), Unusable> {
    let invalid = |message| Err((FailureKind::InvalidRequest, message));
    if schema.len() > MAX_BYTES {
        return invalid(format!(
            "The output schema has {} bytes and at most {MAX_BYTES} are taken: shorten it.",
            schema.len()
        ));
    }
    match Json::parse(schema) {
        Ok(Json::Object(_)) => Ok(()),
        Ok(_) => invalid(
            "The output schema is not a JSON object: give a JSON Schema, as in {\"type\": \"object\"}."
                .to_string(),
        ),
        Err(error) => invalid(format!("The output schema is not JSON: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_json_object() {
        assert!(check(r#" {"type": "object"} "#).is_ok());
        for (schema, problem) in [
            ("", "is not JSON"),
            ("{", "is not JSON"),
            ("{} {}", "is not JSON"),
            ("true", "is not a JSON object"),
            (
                &format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES)),
                "at most",
            ),
        ] {
            let (kind, message) = check(schema).unwrap_err();
            assert_eq!(kind, FailureKind::InvalidRequest);
            assert!(message.contains(problem), "{message}");
        }
    }
}
