//! Values of a document for serde, with an error that says which of them it is about.

use std::collections::BTreeSet;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::document::{Content, Node};
use super::fault::Fault;

/// A value of a document, read as if some others were not there.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// The value.
    pub node: &'a Node<'a>,
    /// Where the values begin that are passed over.
    pub struck: &'a BTreeSet<usize>,
}

impl<'a> Reader<'a> {
    fn counts(&self, node: &Node<'_>) -> bool {
        !self.struck.contains(&node.offset)
    }

    fn of(&self, node: &'a Node<'a>) -> Self {
        Reader {
            node,
            struck: self.struck,
        }
    }

    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault<'a>> {
        match &self.node.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Number(written) => {
                if let Ok(number) = written.parse::<u64>() {
                    visitor.visit_u64(number)
                } else if let Ok(number) = written.parse::<i64>() {
                    visitor.visit_i64(number)
                } else if let Ok(number) = written.parse::<f64>() {
                    visitor.visit_f64(number)
                } else {
                    Err(Fault::invalid_type(Unexpected::Other("number"), &visitor))
                }
            }
            Content::String(text) => visitor.visit_str(text),
            Content::Array(elements) => {
                let elements = elements.iter().filter(|node| self.counts(node));
                visitor.visit_seq(Elements {
                    reader: self,
                    elements,
                })
            }
            Content::Object(members) => {
                let members = members.iter().filter(|(_, node)| self.counts(node));
                visitor.visit_map(Members {
                    reader: self,
                    members,
                    value: None,
                })
            }
        }
    }
}

impl<'de, 'a> Deserializer<'de> for Reader<'a> {
    type Error = Fault<'a>;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault<'a>> {
        self.visit(visitor).map_err(|fault| fault.at(self.node))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault<'a>> {
        match self.node.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|fault| fault.at(self.node))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault<'a>> {
        match self.node.content {
            // Serde would take an array as the fields in their order.
            Content::Array(_) => Err(Fault::invalid_type(Unexpected::Seq, &visitor).at(self.node)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        values: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault<'a>> {
        let read = match &self.node.content {
            Content::String(text) => {
                let text: StrDeserializer<'_, Fault<'a>> = text.as_str().into_deserializer();
                visitor.visit_enum(text)
            }
            _ => Err(Fault::not_one_of(values)),
        };
        read.map_err(|fault| fault.at(self.node))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Elements<'a, I> {
    reader: Reader<'a>,
    elements: I,
}

impl<'de, 'a, I: Iterator<Item = &'a Node<'a>>> SeqAccess<'de> for Elements<'a, I> {
    type Error = Fault<'a>;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault<'a>> {
        self.elements
            .next()
            .map(|node| seed.deserialize(self.reader.of(node)))
            .transpose()
    }
}

struct Members<'a, I> {
    reader: Reader<'a>,
    members: I,
    /// The value of the key that was read last.
    value: Option<&'a Node<'a>>,
}

impl<'de, 'a, I: Iterator<Item = &'a (String, Node<'a>)>> MapAccess<'de> for Members<'a, I> {
    type Error = Fault<'a>;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault<'a>> {
        let Some((name, node)) = self.members.next() else {
            return Ok(None);
        };
        self.value = Some(node);
        let name: StrDeserializer<'_, Fault<'a>> = name.as_str().into_deserializer();
        seed.deserialize(name)
            .map(Some)
            .map_err(|fault: Fault<'a>| fault.at_key_of(node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault<'a>> {
        match self.value.take() {
            Some(node) => seed.deserialize(self.reader.of(node)),
            None => Err(Fault::custom("a value was asked for before its key")),
        }
    }
}
