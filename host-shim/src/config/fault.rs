//! Why a value of the document is not what its key takes.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::document::{Content, Node};
use super::key_path::Step;
use super::nearest::{did_you_mean, nearest};
use super::{Config, Limits, Problem, ServerLimits};
use crate::config::guest_limits::GuestLimits;

/// What serde reports, with the value that it was about.
#[derive(Debug)]
pub struct Fault<'a> {
    kind: Kind,
    place: Option<Place<'a>>,
}

#[derive(Debug)]
enum Kind {
    /// Another type or value was expected, in serde's words.
    Expected(String),
    /// The object has no such key.
    UnknownKey(String, &'static [&'static str]),
    /// The string is none of these.
    UnknownValue(&'static [&'static str]),
    /// Something else.
    Other(String),
}

/// A value of the document.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The value.
    pub node: &'a Node<'a>,
    /// Whether it is about the key before the value.
    pub about_key: bool,
}

impl<'a> Fault<'a> {
    /// A string that is none of these was expected to be one.
    pub fn not_one_of(values: &'static [&'static str]) -> Self {
        Kind::UnknownValue(values).into()
    }

    /// Sets which value it is about, unless an inner value has been set already.
    #[must_use]
    pub fn at(mut self, node: &'a Node<'a>) -> Self {
        self.place.get_or_insert(Place {
            node,
            about_key: false,
        });
        self
    }

    /// Sets that it is about the key of a value.
    #[must_use]
    pub fn at_key_of(mut self, node: &'a Node<'a>) -> Self {
        self.place.get_or_insert(Place {
            node,
            about_key: true,
        });
        self
    }

    /// The value that it is about.
    pub fn place(&self) -> Option<Place<'a>> {
        self.place
    }

    /// What is wrong, and what would be right.
    pub fn problem(&self) -> Problem {
        let Some(Place { node, .. }) = self.place else {
            return Problem {
                key: String::new(),
                message: self.to_string(),
            };
        };
        let message = match &self.kind {
            Kind::Expected(expected) => {
                let range = range_of(node).filter(|_| expected == "u32");
                let expected = match range {
                    Some((low, high)) => format!("a whole number from {low} to {high}"),
                    None => in_words_of_json(expected).to_owned(),
                };
                let hint = hint(node, &expected);
                format!("expected {expected}, found {}{hint}", found(&node.content))
            }
            Kind::UnknownValue(values) => {
                let known: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
                let nearest = match &node.content {
                    Content::String(written) => did_you_mean(written, values.iter().copied()),
                    _ => String::new(),
                };
                format!(
                    "expected one of {}, found {}{nearest}",
                    known.join(", "),
                    found(&node.content)
                )
            }
            Kind::UnknownKey(written, keys) => unknown_key(written, keys),
            Kind::Other(said) => said.clone(),
        };
        Problem {
            key: node.path.to_string(),
            message,
        }
    }
}

/// A key's misspelling, or a key of another object.
fn unknown_key(written: &str, keys: &[&str]) -> String {
    let elsewhere = sections()
        .into_iter()
        .find(|(_, keys)| keys.iter().any(|key| key == written));
    let nearest = match (nearest(written, keys.iter().copied()), elsewhere) {
        (Some(nearest), _) => format!("; did you mean `{nearest}`?"),
        (None, Some((section, _))) if section.is_empty() => {
            format!("; `{written}` belongs to the outermost object")
        }
        (None, Some((section, _))) => format!("; did you mean `{section}.{written}`?"),
        (None, None) => String::new(),
    };
    format!("unknown key{nearest} (known here: {})", keys.join(", "))
}

/// The objects of a configuration, the outermost without a name, and their keys.
fn sections() -> Vec<(String, Vec<String>)> {
    let Ok(serde_json::Value::Object(all)) = serde_json::to_value(Config::default()) else {
        return Vec::new();
    };
    let keys = |object: &serde_json::Map<String, _>| object.keys().cloned().collect();
    let mut sections = vec![(String::new(), keys(&all))];
    for (name, value) in &all {
        if let Some(section) = value.as_object() {
            sections.push((name.clone(), keys(section)));
        }
    }
    sections
}

/// The numbers that the key of this value takes, where they have a range of their own.
fn range_of(node: &Node<'_>) -> Option<(u32, u32)> {
    let [Step::Key(section), Step::Key(key)] = node.path.steps() else {
        return None;
    };
    let range = match section.as_str() {
        "server" => ServerLimits::range_of(key),
        "limits" => Limits::range_of(key),
        "guest" => GuestLimits::range_of(key),
        _ => None,
    }?;
    Some((*range.start(), *range.end()))
}

fn in_words_of_json(expected: &str) -> &str {
    match expected {
        "path string" => "a string",
        "u32" => "a whole number",
        "a sequence" => "an array",
        "a map" => "an object",
        structure if structure.starts_with("struct ") => "an object",
        other => other,
    }
}

fn found(content: &Content<'_>) -> String {
    /// How many characters of a string are shown.
    const SHOWN: usize = 60;
    match content {
        Content::Null => "null".into(),
        Content::Bool(value) => value.to_string(),
        Content::Number(written) => format!("{written:.SHOWN$}"),
        Content::String(text) if has_login(text) => "the URL of something, with a login".into(),
        Content::String(text) => {
            let more = if text.chars().nth(SHOWN).is_some() {
                "…"
            } else {
                ""
            };
            format!(
                "the string {:?}{more}",
                text.chars().take(SHOWN).collect::<String>()
            )
        }
        Content::Array(_) => "an array".into(),
        Content::Object(_) => "an object".into(),
    }
}

/// Whether a text is a URL that may hold a password.
fn has_login(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(_, rest)| rest.contains('@'))
}

/// What to write instead, if that is clear.
fn hint(node: &Node<'_>, expected: &str) -> String {
    match &node.content {
        Content::String(text)
            if expected.starts_with("a whole number") && text.parse::<u32>().is_ok() =>
        {
            format!(": write {text} without quotes")
        }
        // Words that a shell would cut at their spaces are one each here.
        Content::String(text)
            if expected == "an array" && !text.contains(['"', '\'']) && !has_login(text) =>
        {
            let words: Vec<_> = text.split_whitespace().collect();
            format!(": write {words:?}")
        }
        Content::Null if matches!(node.path.steps().last(), Some(Step::Key(_))) => {
            ": leave the key out for its default".into()
        }
        _ => String::new(),
    }
}

impl From<Kind> for Fault<'_> {
    fn from(kind: Kind) -> Self {
        Fault { kind, place: None }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Expected(expected) => write!(f, "expected {}", in_words_of_json(expected)),
            Kind::UnknownKey(written, _) => write!(f, "unknown key `{written}`"),
            Kind::UnknownValue(values) => write!(f, "expected one of {}", values.join(", ")),
            Kind::Other(said) => f.write_str(said),
        }
    }
}

impl std::error::Error for Fault<'_> {}

impl de::Error for Fault<'_> {
    fn custom<T: fmt::Display>(said: T) -> Self {
        Kind::Other(said.to_string()).into()
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Kind::Expected(expected.to_string()).into()
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Kind::Expected(expected.to_string()).into()
    }

    fn unknown_field(written: &str, keys: &'static [&'static str]) -> Self {
        Kind::UnknownKey(written.to_owned(), keys).into()
    }

    fn unknown_variant(_: &str, values: &'static [&'static str]) -> Self {
        Kind::UnknownValue(values).into()
    }
}
