//! What the model says, in whatever shape codex writes it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::json::Json;

/// The member `text` of an item: a text, a list of parts with texts, or else as it is written.
pub fn text<'a>(item: &mut Json<'a>) -> Cow<'a, str> {
    if let Some(text) = item.take_text("text") {
        return text;
    }
    let parts = item.array("text");
    let texts: Option<Vec<&str>> = parts
        .iter()
        .map(|part| part.as_text().or_else(|| part.text("text")))
        .collect();
    match texts {
        Some(texts) if !texts.is_empty() => Cow::Owned(texts.concat()),
        _ => item
            .get("text")
            .map(Json::to_json)
            .unwrap_or_default()
            .into(),
    }
}

/// Why something failed: its message, or else as it is written.
pub fn reason(error: &Json<'_>) -> String {
    let text = error.text("message").or_else(|| error.as_text());
    text.map_or_else(|| error.to_json(), Into::into)
}

/// Where codex begins to write a backtrace, after an error.
pub const BACKTRACE: &str = "\nStack backtrace:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_said_is_shown_in_whatever_shape_it_comes() {
        for (written, shown) in [
            (r#""hi""#, "hi"),
            (r#"["a","b"]"#, "ab"),
            (r#"[{"type":"output_text","text":"a"},{"text":"b"}]"#, "ab"),
            (r#"{"value":"a"}"#, r#"{"value":"a"}"#),
            (r#"[{"image":1}]"#, r#"[{"image":1}]"#),
            ("7", "7"),
            ("null", ""),
        ] {
            let mut item = Json::parse(written)
                .map(|value| Json::Object([(Cow::Borrowed("text"), value)].into()));
            assert_eq!(text(item.as_mut().unwrap()), shown, "{written}");
        }
    }
}
