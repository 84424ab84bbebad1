//! A JSON document that borrows from its line.
//!
//! Codex writes objects with doubled keys (`web_search` items carry two `id`s), leaves
//! fields out, and sets them to null; derived structs refuse the first and need care
//! for the rest. This document keeps every member in the order it came, and looking one
//! up never fails harder than "not there". Strings without escapes are not copied.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::{fmt, mem};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

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
}

impl<'a> Json<'a> {
    /// Parses one document; nothing but white space may follow it.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
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

    /// Moves the text out of the member of that name, which keeps an empty one; nothing if it is no text.
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

    /// The items of the member of that name; none if it is no array.
    pub fn array(&self, key: &str) -> &[Json<'a>] {
        match self.get(key) {
            Some(Json::Array(items)) => items,
            _ => &[],
        }
    }

    /// The member of that name as a count, if it is one.
    pub fn count(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Json::Number(number) => number.as_u64(),
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

/// Makes a document of a value.
#[derive(Clone, Copy)]
struct DocumentVisitor {
    /// How many levels of objects get their room at once. Those below may be very many, and begin without.
    roomy: usize,
}

impl DocumentVisitor {
    /// An event and its item have room.
    const DOCUMENT: Self = DocumentVisitor { roomy: 2 };
    const SMALL: Self = DocumentVisitor { roomy: 0 };

    fn inside(self) -> Self {
        DocumentVisitor {
            roomy: self.roomy.saturating_sub(1),
        }
    }
}

impl<'de> DeserializeSeed<'de> for DocumentVisitor {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
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
        while let Some(key) = members.next_key::<Key<'de>>()? {
            object.push((key.0, members.next_value_seed(self.inside())?));
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
            _ => Err(serde::de::Error::custom("a key that is no string")),
        }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(number) => number.serialize(serializer),
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
    fn nesting_without_end_is_an_error_not_a_crash() {
        let deep = "[".repeat(100_000);
        assert!(Json::parse(&deep).is_err());
    }
}
