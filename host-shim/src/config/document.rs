//! A JSON text as a tree that knows where everything is.
//!
//! serde_json does the reading, so the grammar is the usual strict one. It hands out each value as a slice of the text
//! ([`RawValue`]), and that slice shows where the value is.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Mistake;
use super::key_path::{KeyPath, Step};

/// A value of the text.
#[derive(Debug)]
pub struct Node<'t> {
    /// Which value it is.
    pub path: KeyPath,
    /// Where it begins, in bytes. No other value begins there.
    pub offset: usize,
    /// Where the key before it begins, in bytes; in an array, where the value itself begins.
    pub key_offset: usize,
    /// What it is.
    pub content: Content<'t>,
}

/// What a value is.
#[derive(Debug)]
pub enum Content<'t> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is written.
    Number(&'t str),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Node<'t>>),
    /// An object: its keys and values, in order, repeated keys included.
    Object(Vec<(String, Node<'t>)>),
}

impl<'t> Node<'t> {
    /// Reads a whole text, which may turn out not to be JSON.
    pub fn parse(text: &'t str) -> Result<Self, Mistake> {
        // What this accepts has no broken escape and is not nested too deeply for what follows.
        serde_json::from_str::<serde_json::Value>(text)
            .and_then(|_| serde_json::from_str::<&RawValue>(text))
            .and_then(|raw| Self::of(raw, None, KeyPath::default(), text))
            .map_err(|error| not_json(&error, text))
    }

    fn of(
        raw: &'t RawValue,
        key_offset: Option<usize>,
        path: KeyPath,
        text: &'t str,
    ) -> serde_json::Result<Self> {
        let written = raw.get();
        let offset = offset_in(text, written);
        let content = match written.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(written)?;
                let members = members.into_iter().map(|(key, value)| {
                    let name: String = serde_json::from_str(key.get())?;
                    let key_offset = offset_in(text, key.get());
                    let node = Self::of(value, Some(key_offset), path.key(&name), text)?;
                    Ok((name, node))
                });
                Content::Object(members.collect::<serde_json::Result<_>>()?)
            }
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(written)?;
                let elements = elements.into_iter().enumerate();
                let elements =
                    elements.map(|(index, raw)| Self::of(raw, None, path.index(index), text));
                Content::Array(elements.collect::<serde_json::Result<_>>()?)
            }
            Some(b'"') => Content::String(serde_json::from_str(written)?),
            Some(b't' | b'f') => Content::Bool(serde_json::from_str(written)?),
            Some(b'n') => Content::Null,
            _ => Content::Number(written),
        };
        Ok(Node {
            path,
            offset,
            key_offset: key_offset.unwrap_or(offset),
            content,
        })
    }

    /// The value at the end of `path`, as it leads through what `counts`.
    pub fn find(&self, path: &KeyPath, counts: &dyn Fn(&Node<'_>) -> bool) -> Option<&Self> {
        path.steps()
            .iter()
            .try_fold(self, |node, step| match (&node.content, step) {
                (Content::Object(members), Step::Key(key)) => members
                    .iter()
                    .find(|(name, node)| name == key && counts(node))
                    .map(|(_, node)| node),
                (Content::Array(elements), Step::Index(index)) => {
                    elements.iter().filter(|node| counts(node)).nth(*index)
                }
                _ => None,
            })
    }

    /// The values of keys that are repeated in the same object, each with the first one.
    pub fn repeated(&self) -> Vec<(&Self, &Self)> {
        match &self.content {
            Content::Object(members) => {
                let mut found = Vec::new();
                for (position, (name, node)) in members.iter().enumerate() {
                    let before = members.iter().take(position);
                    match before
                        .map(|(name, node)| (name, node))
                        .find(|(earlier, _)| *earlier == name)
                    {
                        Some((_, first)) => found.push((node, first)),
                        None => found.extend(node.repeated()),
                    }
                }
                found
            }
            Content::Array(elements) => elements.iter().flat_map(Node::repeated).collect(),
            _ => Vec::new(),
        }
    }
}

/// Where a piece of a text begins in it.
fn offset_in(text: &str, piece: &str) -> usize {
    piece.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

/// An object, one level of it.
struct Members<'t>(Vec<(&'t RawValue, &'t RawValue)>);

impl<'de: 't, 't> serde::Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

/// Where a text stops being JSON, and what to do there.
fn not_json(error: &serde_json::Error, text: &str) -> Mistake {
    let said = error.to_string();
    let (line, column) = (error.line(), error.column());
    let said = said
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&said);
    if error.is_eof() {
        let message = if text.trim().is_empty() {
            "the file is empty: write `{}` for the defaults, or remove it".into()
        } else {
            format!("the file ends too early ({said}): write what is missing")
        };
        return Mistake::of_document(text, text.len(), message);
    }
    let line_start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    // Counted in bytes from 1; a line feed is counted as column 0 of the line that it begins.
    let offset = text.floor_char_boundary((line_start + column).saturating_sub(1));
    let rest = text.get(offset..).unwrap_or_default();
    let before = text.get(..offset).unwrap_or_default().trim_end();
    let comment = rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#');
    let message = if comment {
        "JSON has no comments: remove it".into()
    } else if said == "trailing comma" || (before.ends_with(',') && rest.starts_with(['}', ']'])) {
        "JSON has no comma after the last item: remove it".into()
    } else if said == "trailing characters" {
        "there is text after the end of the document: remove it".into()
    } else if rest.starts_with('\'') {
        "JSON has no single quotes: write \"…\"".into()
    } else {
        let found = rest.chars().next().map(|char| format!(", found {char:?}"));
        format!("this is not JSON: {said}{}", found.unwrap_or_default())
    };
    Mistake::of_document(text, offset, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_place_however_often_its_name_occurs() {
        let text = r#"{ "a": {"a": [1, "ä", {"a": null}]}, "b\"": -1.5e3 }"#;
        let root = Node::parse(text).unwrap();
        let inner = KeyPath::default().key("a").key("a").index(2).key("a");
        let node = root.find(&inner, &|_| true).unwrap();
        assert!(matches!(node.content, Content::Null));
        assert!(text[node.offset..].starts_with("null"));
        assert!(text[node.key_offset..].starts_with(r#""a": null"#));
        let last = KeyPath::default().key("b\"");
        let node = root.find(&last, &|_| true).unwrap();
        assert!(matches!(node.content, Content::Number("-1.5e3")));
        assert!(root.find(&inner.index(0), &|_| true).is_none());
    }

    #[test]
    fn a_repeated_key_is_found_at_any_depth() {
        let text = r#"{"a": 1, "b": [{"c": 1, "c": 2}], "a": 3, "a": 4}"#;
        let root = Node::parse(text).unwrap();
        let repeated: Vec<_> = root
            .repeated()
            .iter()
            .map(|(node, first)| (&text[node.offset..=node.offset], first.path.to_string()))
            .collect();
        let expected = [("2", "b[0].c"), ("3", "a"), ("4", "a")];
        assert_eq!(
            repeated,
            expected.map(|(text, path)| (text, path.to_owned()))
        );
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let error = Node::parse(&"[".repeat(100_000)).unwrap_err();
        assert!(
            error.problem.message.contains("recursion limit"),
            "{error:?}"
        );
    }
}
