//! A JSON document that borrows from its line.
//!
//! Codex writes objects with doubled keys (`web_search` items carry two `id`s), leaves
//! fields out, and sets them to null; derived structs refuse the first and need care
//! for the rest. This document keeps every member in the order it came, and looking one
//! up never fails harder than "not there". Strings without escapes are not copied.
//!
//! What a tool was called with and what it answered stays as it was written, and is passed on character by character:
//! the order of members, doubled keys, and numbers of any size and precision.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::{fmt, mem};

use memchr::memchr;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

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
#[derive(Debug, Clone, Copy)]
pub struct Written<'a>(&'a RawValue);

impl PartialEq for Written<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl<'a> Json<'a> {
    /// Parses one document; nothing but white space may follow it.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The same for a document whose items are one level further down, in the parameters of a notification.
    pub fn parse_nested(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let document = DocumentVisitor::NESTED.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(document)
    }

    /// Texts and literals are read, all else stays as it was written.
    fn from_raw(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'"') => match text.get(1..text.len().saturating_sub(1)) {
                Some(plain) if memchr(b'\\', plain.as_bytes()).is_none() => {
                    Json::Text(Cow::Borrowed(plain))
                }
                _ => Json::Text(Cow::Owned(serde_json::from_str(text)?)),
            },
            Some(b'n') => Json::Null,
            Some(b't') => Json::Bool(true),
            Some(b'f') => Json::Bool(false),
            _ => Json::Written(Written(raw)),
        })
    }

    /// This value, read if it was kept as it was written. A number that no float can hold leaves it as it was.
    pub fn opened(&self) -> Cow<'_, Json<'a>> {
        match self {
            Json::Written(Written(raw)) => {
                Json::parse(raw.get()).map_or(Cow::Borrowed(self), Cow::Owned)
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

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DocumentVisitor::DOCUMENT.deserialize(deserializer)
    }
}

/// Room for the members of an object: codex's hardly ever have more.
const MEMBERS: usize = 8;

/// The members of an item that are passed on as they were written. All of them are documents of others: of a tool, of the
/// model. They are known by name, because a value cannot be both looked at and kept without being read twice.
const PASSED_ON: [&str; 6] = [
    "action",
    "agents_states",
    "arguments",
    "changes",
    "receiver_thread_ids",
    "result",
];

/// The same for a notification. `items` are all of a turn that has ended, once more, and nobody looks at them.
const PASSED_ON_NESTED: [&str; 7] = [
    "action",
    "agentsStates",
    "arguments",
    "changes",
    "items",
    "receiverThreadIds",
    "result",
];

/// Makes a document of a value.
#[derive(Clone, Copy)]
struct DocumentVisitor {
    /// The members that stay as they were written.
    passed_on: &'static [&'static str],
    /// How many levels of objects get room for their members at once. Below these there may be very many objects, which
    /// begin without.
    roomy: usize,
}

impl DocumentVisitor {
    /// An event and its item have room.
    const DOCUMENT: Self = DocumentVisitor {
        passed_on: &PASSED_ON,
        roomy: 2,
    };
    /// A notification, its parameters and its item have.
    const NESTED: Self = DocumentVisitor {
        passed_on: &PASSED_ON_NESTED,
        roomy: 3,
    };
    const SMALL: Self = DocumentVisitor {
        passed_on: &[],
        roomy: 0,
    };

    fn inside(self) -> Self {
        DocumentVisitor {
            roomy: self.roomy.saturating_sub(1),
            ..self
        }
    }
}

impl<'de> DeserializeSeed<'de> for DocumentVisitor {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Keeps a value as it was written.
struct WrittenSeed;

impl<'de> DeserializeSeed<'de> for WrittenSeed {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Json::from_raw(raw).map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Self::SMALL)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut object = Vec::with_capacity(if self.roomy > 0 { MEMBERS } else { 0 });
        while let Some(Key(key)) = members.next_key()? {
            let value = if self.roomy > 0 && self.passed_on.contains(&&*key) {
                members.next_value_seed(WrittenSeed)?
            } else {
                members.next_value_seed(self.inside())?
            };
            object.push((key, value));
        }
        Ok(Json::Object(object))
    }
}

/// An object's key; serde's own `Cow` always copies.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(DocumentVisitor::SMALL)? {
            Json::Text(text) => Ok(Key(text)),
            _ => Err(D::Error::custom("a key that is not a string")),
        }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(number) => number.serialize(serializer),
            Json::Written(Written(raw)) => raw.serialize(serializer),
            Json::Text(text) => serializer.serialize_str(text),
            Json::Array(items) => serializer.collect_seq(items),
            Json::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_keys_are_kept_and_the_first_one_is_found() {
        let document = Json::parse(r#"{"id":"item_0","type":"web_search","id":"ws_1"}"#).unwrap();
        assert_eq!(document.text("id"), Some("item_0"));
        assert_eq!(
            serde_json::to_string(&document).unwrap(),
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
        assert_eq!(serde_json::to_string(arguments).unwrap(), written);
        assert_eq!(serde_json::to_string(&document).unwrap(), line);
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
