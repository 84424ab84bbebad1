//! What a tool was called with: JSON, as it was written.

use std::borrow::Cow;
use std::str::FromStr;

use memchr::memchr2;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// How deep the JSON may nest: what `serde_json` reads without a special setting.
pub const MAX_DEPTH: usize = 127;

/// How much is shown of a text that is not JSON, in bytes. As a JSON string, it may become six times as long.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// What a tool was called with: one JSON document (RFC 8259), nested at most 127 levels deep.
///
/// It is kept as it was written, with the order of members, doubled keys, and numbers that no float holds
/// (`1e400`, or 2⁶⁴). It holds no line feed or carriage return, so a line of JSON that holds it stays one line. Two
/// inputs are equal when their text is.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct ToolInput(Box<RawValue>);

impl ToolInput {
    /// The JSON text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads the document into a type of yours.
    ///
    /// # Errors
    /// When the type cannot hold what was written; [`serde_json::Value`], for one, cannot hold `1e400`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.get())
    }

    /// An input that is written like this, but on one line.
    fn of(raw: &RawValue) -> serde_json::Result<Self> {
        // `serde_json` skips values without a limit.
        if depth(raw.get()) > MAX_DEPTH {
            let message = format_args!("it nests deeper than {MAX_DEPTH} levels");
            return Err(serde_json::Error::custom(message));
        }
        match on_one_line(raw.get()) {
            Cow::Borrowed(_) => Ok(ToolInput(raw.to_owned())),
            Cow::Owned(line) => RawValue::from_string(line).map(ToolInput),
        }
    }

    /// A text that is not JSON, shown as a JSON string; its beginning, if it is very long.
    pub(crate) fn from_text(text: &str) -> Self {
        let shown = text.get(..text.floor_char_boundary(MAX_TEXT_BYTES));
        let string = serde_json::value::to_raw_value(shown.unwrap_or_default());
        ToolInput(string.unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl FromStr for ToolInput {
    type Err = serde_json::Error;

    /// Checks the text without building a tree of it, which could take eighty times its size.
    fn from_str(json: &str) -> Result<Self, Self::Err> {
        Self::of(serde_json::from_str(json)?)
    }
}

impl PartialEq for ToolInput {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for ToolInput {}

impl<'de> Deserialize<'de> for ToolInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::of(&raw).map_err(D::Error::custom)
    }
}

/// How deep valid JSON nests.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string) = (0_usize, 0, false);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // There are none outside strings.
            b'\\' => {
                bytes.next();
            }
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Valid JSON without line feeds and carriage returns: it has them between tokens only. With them, a component could
/// end the line that it is written into, and forge the next one.
fn on_one_line(json: &str) -> Cow<'_, str> {
    match memchr2(b'\n', b'\r', json.as_bytes()) {
        None => Cow::Borrowed(json),
        Some(_) => Cow::Owned(json.replace(['\n', '\r'], " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> String {
        json.parse::<ToolInput>().unwrap().get().to_owned()
    }

    #[test]
    fn json_stays_as_it_was_written() {
        for json in [
            r#"{"z":1,"a":2,"z":3}"#,
            "[18446744073709551616,1e400,1.10,-0]",
            r#""}]\"{[""#,
            "null",
        ] {
            assert_eq!(read(json), json);
            let back = serde_json::to_string(&json.parse::<ToolInput>().unwrap()).unwrap();
            assert_eq!(back, json);
        }
        let input: ToolInput = r#"{"a":[1]}"#.parse().unwrap();
        assert_eq!(input.parse::<serde_json::Value>().unwrap()["a"][0], 1);
    }

    #[test]
    fn an_input_never_ends_the_line_that_holds_it() {
        assert_eq!(
            read("[1,\n\r{\"type\":\"x\"}\n]\n"),
            "[1,  {\"type\":\"x\"} ]"
        );
        let pretty: ToolInput = serde_json::from_str("{\n  \"a\": 1\n}").unwrap();
        assert_eq!(pretty.get(), "{   \"a\": 1 }");
        assert!("\"a\nb\"".parse::<ToolInput>().is_err());
    }

    #[test]
    fn nesting_is_bounded_and_never_a_crash() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        read(&nested(MAX_DEPTH))
            .parse::<serde_json::Value>()
            .unwrap();
        read(&format!("[{}]", vec!["[\"[{\\\"[\"]"; 200].join(",")));
        for depth in [MAX_DEPTH + 1, 5_000_000] {
            let error = nested(depth).parse::<ToolInput>().unwrap_err();
            assert!(error.to_string().contains("127 levels"), "{error}");
        }
    }

    #[test]
    fn a_text_that_is_not_json_is_a_string_of_bounded_length() {
        assert_eq!(ToolInput::from_text("{\"a\":").get(), r#""{\"a\":""#);
        let long = ToolInput::from_text(&"\u{1}".repeat(10 * MAX_TEXT_BYTES));
        assert_eq!(long.get().len(), 6 * MAX_TEXT_BYTES + 2);
    }
}
