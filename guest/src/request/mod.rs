//! The request: what codex is asked, and which model.

pub mod model;
pub mod prompt;
pub mod replay;

use alloc::string::String;

use crate::bindings::provider::FailureKind;

/// Why a request cannot become a turn: the kind of failure, and a sentence.
pub type Unusable = (FailureKind, String);

/// A message of these texts.
#[cfg(test)]
fn test_message(
    role: crate::bindings::provider::Role,
    texts: &[&str],
) -> crate::bindings::provider::Message {
    use crate::bindings::provider::{Content, Message};
    let content = texts.iter().map(|text| Content::Text((*text).into()));
    Message {
        role,
        content: content.collect(),
    }
}
