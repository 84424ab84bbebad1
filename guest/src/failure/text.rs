//! Codex's words, made fit for a sentence.

use alloc::format;
use alloc::string::{String, ToString};

use crate::json::Json;

/// The sentence inside a message that is itself a JSON document, as the service's refusals are.
pub fn unwrap_nested(said: &str) -> String {
    let Ok(document) = Json::parse(said) else {
        return said.to_string();
    };
    let error = document.get("error").unwrap_or(&document);
    error
        .text("message")
        .or_else(|| document.text("detail"))
        .or_else(|| document.text("message"))
        .or_else(|| error.as_text())
        .unwrap_or(said)
        .to_string()
}

/// As much of a text as belongs in a sentence: its first paragraph, and of a long one both ends,
/// because codex gives the reason last. The whole of it is kept in `detail`.
pub fn excerpt(text: &str) -> String {
    const HALF: usize = 200;
    let paragraph = text
        .split("\n\n")
        .next()
        .unwrap_or(text)
        .trim_end_matches('.');
    let mut ends = paragraph.char_indices().map(|(at, _)| at);
    let count = paragraph.chars().count();
    match (
        ends.nth(HALF),
        paragraph.char_indices().nth(count.saturating_sub(HALF)),
    ) {
        (Some(head), Some((tail, _))) if count > 2 * HALF => {
            format!(
                "{} … {}",
                paragraph.get(..head).unwrap_or_default(),
                paragraph.get(tail..).unwrap_or_default()
            )
        }
        _ => paragraph.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_documents_are_unwrapped() {
        for document in [
            r#"{"detail":"No."}"#,
            r#"{"error":{"type":"invalid_request_error","message":"No."}}"#,
            r#"{"type":"error","error":{"message":"No."},"status":400}"#,
            r#"{"error":"No."}"#,
            r#"{"message":"No."}"#,
            "No.",
        ] {
            assert_eq!(unwrap_nested(document), "No.", "{document}");
        }
        assert_eq!(unwrap_nested(r#"{"x":1}"#), r#"{"x":1}"#);
    }
}
