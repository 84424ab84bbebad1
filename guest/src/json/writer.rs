//! Writes a value as JSON, in the form in which serde_json writes it.

use alloc::string::String;
use core::fmt::Write as _;

use super::scan::special;
use super::{Json, Written};

impl Json<'_> {
    /// The value as JSON, without white space but where it was kept as it was written.
    pub fn to_json(&self) -> String {
        let mut writer = Writer::default();
        writer.value(self);
        writer.0
    }
}

/// JSON that is being written.
#[derive(Debug, Default)]
pub struct Writer(String);

impl Writer {
    /// An object with these members.
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a Json<'a>)>) -> String {
        let mut writer = Writer::default();
        writer.members(members);
        writer.0
    }

    fn value(&mut self, value: &Json<'_>) {
        match value {
            Json::Null => self.0.push_str("null"),
            Json::Bool(true) => self.0.push_str("true"),
            Json::Bool(false) => self.0.push_str("false"),
            Json::Number(number) => {
                // Cannot fail: it is written to memory.
                let _ = write!(self.0, "{number}");
            }
            Json::Written(Written(text)) => self.0.push_str(text),
            Json::Text(text) => self.text(text),
            Json::Array(items) => {
                self.0.push('[');
                for (position, item) in items.iter().enumerate() {
                    self.comma(position);
                    self.value(item);
                }
                self.0.push(']');
            }
            Json::Object(members) => {
                self.members(members.iter().map(|(key, value)| (&**key, value)));
            }
        }
    }

    fn members<'a>(&mut self, members: impl IntoIterator<Item = (&'a str, &'a Json<'a>)>) {
        self.0.push('{');
        for (position, (key, value)) in members.into_iter().enumerate() {
            self.comma(position);
            self.text(key);
            self.0.push(':');
            self.value(value);
        }
        self.0.push('}');
    }

    fn comma(&mut self, position: usize) {
        if position > 0 {
            self.0.push(',');
        }
    }

    fn text(&mut self, text: &str) {
        self.0.reserve(text.len().saturating_add(2));
        self.0.push('"');
        let mut rest = text;
        while let Some(at) = special(rest.as_bytes(), 0)
            && let Some((plain, behind)) = rest.split_at_checked(at)
        {
            self.0.push_str(plain);
            let mut characters = behind.chars();
            match characters.next() {
                Some('"') => self.0.push_str("\\\""),
                Some('\\') => self.0.push_str("\\\\"),
                Some('\n') => self.0.push_str("\\n"),
                Some('\t') => self.0.push_str("\\t"),
                Some('\r') => self.0.push_str("\\r"),
                Some('\u{8}') => self.0.push_str("\\b"),
                Some('\u{c}') => self.0.push_str("\\f"),
                Some(control) => {
                    // Cannot fail: it is written to memory.
                    let _ = write!(self.0, "\\u{:04x}", u32::from(control));
                }
                None => {}
            }
            rest = characters.as_str();
        }
        self.0.push_str(rest);
        self.0.push('"');
    }
}
