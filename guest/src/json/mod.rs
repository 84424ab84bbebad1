//! A JSON document that borrows from its line.
//!
//! Codex writes objects with doubled keys (`web_search` items carry two `id`s), leaves
//! fields out, and sets them to null; derived structs refuse the first and need care
//! for the rest. This document keeps every member in the order it came, and looking one
//! up never fails harder than "not there". Strings without escapes are not copied.
//!
//! What a tool was called with and what it answered stays as it was written, and is passed on character by character:
//! the order of members, doubled keys, and numbers of any size and precision.

pub mod document;
pub mod reader;
mod rule;
mod scan;
mod writer;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::mem;

pub use rule::Rule;
pub use writer::Writer;

/// Any JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// Members in the order they came, doubled keys included.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
    /// A value that is passed on.
    Written(Written<'a>),
}

/// A value as it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Written<'a>(&'a str);

impl<'a> Json<'a> {
    /// Parses one document; nothing but white space may follow it.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        read(text, Rule::DOCUMENT)
    }

    /// The same for a document whose items are one level further down, in the parameters of a notification.
    pub fn parse_nested(text: &'a str) -> Result<Self, serde_json::Error> {
        read(text, Rule::NESTED)
    }

    /// This value, read if it was kept as it was written. A number that no float can hold leaves it as it was.
    pub fn opened(&self) -> Cow<'_, Json<'a>> {
        match self {
            Json::Written(Written(text)) => {
                Json::parse(text).map_or(Cow::Borrowed(self), Cow::Owned)
            }
            _ => Cow::Borrowed(self),
        }
    }

    /// The first member of that name that is not null.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members
                .iter()
                .find(|(name, value)| name == key && !value.is_null())
                .map(|(_, value)| value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// Moves the member of that name out, which leaves null; nothing if there is none, or null.
    pub fn take(&mut self, key: &str) -> Option<Json<'a>> {
        let Json::Object(members) = self else {
            return None;
        };
        let member = members
            .iter_mut()
            .find(|(name, value)| name == key && !value.is_null());
        member.map(|(_, value)| mem::replace(value, Json::Null))
    }

    /// Moves the text out of the member of that name, which keeps an empty one; nothing if it is not text.
    pub fn take_text(&mut self, key: &str) -> Option<Cow<'a, str>> {
        let Json::Object(members) = self else {
            return None;
        };
        let member = members
            .iter_mut()
            .find(|(name, value)| name == key && !value.is_null());
        match member {
            Some((_, Json::Text(text))) => Some(mem::take(text)),
            _ => None,
        }
    }

    /// The text of the member of that name, if it is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// The items of the member of that name; none if it is not an array.
    pub fn array(&self, key: &str) -> Cow<'_, [Json<'a>]> {
        match self.get(key).map(Json::opened) {
            Some(Cow::Borrowed(Json::Array(items))) => Cow::Borrowed(items),
            Some(Cow::Owned(Json::Array(items))) => Cow::Owned(items),
            _ => Cow::Borrowed(&[]),
        }
    }

    /// The member of that name as a count, if it is one.
    pub fn count(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Json::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The number, if this is a whole one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Json::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Most documents are read in one pass. What is none, serde_json says why, and it decides of what is unusual.
fn read(text: &str, rule: Rule) -> Result<Json<'_>, serde_json::Error> {
    reader::read(text, rule).map_or_else(|| document::read(text, rule), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_keys_are_kept_and_the_first_one_is_found() {
        let document = Json::parse(r#"{"id":"item_0","type":"web_search","id":"ws_1"}"#).unwrap();
        assert_eq!(document.text("id"), Some("item_0"));
        assert_eq!(
            document.to_json(),
            r#"{"id":"item_0","type":"web_search","id":"ws_1"}"#
        );
    }

    #[test]
    fn null_and_missing_and_mistyped_members_are_not_there() {
        let document = Json::parse(r#"{"a":null,"b":7,"c":"x"}"#).unwrap();
        assert_eq!(document.text("a"), None);
        assert_eq!(document.text("b"), None);
        assert_eq!(document.text("z"), None);
        assert_eq!(document.count("b"), Some(7));
        assert_eq!(document.count("c"), None);
        assert!(document.array("c").is_empty());
    }

    #[test]
    fn text_that_is_taken_is_the_one_that_is_found() {
        let mut document = Json::parse(r#"{"a":null,"a":"x","b":7,"a":"y"}"#).unwrap();
        assert_eq!(document.take_text("a").as_deref(), Some("x"));
        assert_eq!(document.text("a"), Some(""));
        assert_eq!(document.take_text("b"), None);
        assert_eq!(document.count("b"), Some(7));
        assert_eq!(document.take_text("z"), None);
        assert_eq!(Json::Null.take_text("a"), None);
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        let document = Json::parse(r#"{"a":"plain","b":"two\nlines"}"#).unwrap();
        assert!(matches!(
            document.get("a"),
            Some(Json::Text(Cow::Borrowed("plain")))
        ));
        assert!(matches!(document.get("b"), Some(Json::Text(Cow::Owned(_)))));
    }

    #[test]
    fn what_is_inside_an_item_is_passed_on_as_it_was_written() {
        let written = r#"{"z":1.10,"a":[18446744073709551616,1e400,-0],"z":{"\u0061":"\ud800"}}"#;
        let line = alloc::format!(r#"{{"item":{{"arguments":{written},"code":-7,"n":1.5}}}}"#);
        let document = Json::parse(&line).unwrap();
        let item = document.get("item").unwrap();
        let arguments = item.get("arguments").unwrap();
        assert_eq!(arguments.to_json(), written);
        assert_eq!(document.to_json(), line);
        assert_eq!(item.get("code").and_then(Json::integer), Some(-7));
        assert_eq!(item.get("n").and_then(Json::integer), None);
        assert_eq!(item.count("code"), None);
    }

    #[test]
    fn the_items_of_a_notification_are_not_read() {
        let line = r#"{"params":{"turn":{"id":"t","items":[{"text":"all of it"}]}}}"#;
        let items = |document: &Json<'_>| {
            let turn = document.get("params").and_then(|params| params.get("turn"));
            matches!(
                turn.and_then(|turn| turn.get("items")),
                Some(Json::Written(_))
            )
        };
        assert!(items(&Json::parse_nested(line).unwrap()));
        // Those of a line of `codex exec` are the steps of a plan.
        let line = r#"{"item":{"items":[{"text":"a"}]}}"#;
        let document = Json::parse(line).unwrap();
        let plan = document.get("item").and_then(|item| item.get("items"));
        assert!(matches!(plan, Some(Json::Array(_))));
    }

    #[test]
    fn what_is_passed_on_can_be_looked_into() {
        let line =
            r#"{"item":{"changes":[{"text":"a","deep":[[7]]},{"text":"b\n"}],"result":[1e400]}}"#;
        let document = Json::parse(line).unwrap();
        let item = document.get("item").unwrap();
        let changes = item.array("changes");
        let texts: Vec<_> = changes.iter().map(|change| change.text("text")).collect();
        assert_eq!(texts, [Some("a"), Some("b\n")]);
        let changes = item.get("changes").unwrap().opened();
        assert!(matches!(changes.as_ref(), Json::Array(items) if items.len() == 2));
        assert!(item.array("result").is_empty());
        assert!(item.array("z").is_empty());
    }

    #[test]
    fn nesting_without_end_is_an_error_not_a_crash() {
        let deep = "[".repeat(100_000);
        assert!(Json::parse(&deep).is_err());
    }
}
