//! Reads a document with serde_json, which takes longer, and which knows what is wrong with what is no document.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use memchr::memchr;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::{Json, Rule, Written};

/// A document.
pub fn read(text: &str, rule: Rule) -> Result<Json<'_>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = rule.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(document)
}

/// A value that is passed on: texts and literals are read, all else stays as it was written.
fn from_raw(raw: &RawValue) -> Result<Json<'_>, serde_json::Error> {
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
        _ => Json::Written(Written(text)),
    })
}

impl<'de> DeserializeSeed<'de> for Rule {
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
        from_raw(raw).map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for Rule {
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
        let mut object = self.room();
        while let Some(Key(key)) = members.next_key()? {
            let value = if self.passes_on(&key) {
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
        match deserializer.deserialize_str(Rule::SMALL)? {
            Json::Text(text) => Ok(Key(text)),
            _ => Err(D::Error::custom("a key that is not a string")),
        }
    }
}
