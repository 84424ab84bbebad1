//! What the model is to do and to be, for the whole conversation.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};
use toml_writer::{ToTomlValue, TomlStringBuilder};

use super::prompt::text_of;
use crate::bindings::turns::{FailureKind, Message, Role};
use crate::request::Unusable;

/// The most bytes that the instructions may have as an argument of codex: 128 KiB less `developer_instructions=` and
/// the closing NUL.
///
/// The host quotes them in the same way, in `host-shim/src/grant/request_word.rs`, and refuses what is longer: it does
/// not rely on the component.
const MAX_QUOTED_BYTES: usize = 131_071 - "developer_instructions=".len();

/// Those of a request: its own, and then its messages of role `system`, which are taken out of the messages.
/// Nothing if they are all empty.
pub fn take(own: Option<String>, messages: &mut Vec<Message>) -> Option<String> {
    let mut all: Vec<String> = own.into_iter().collect();
    messages.retain(|message| {
        let is_system = message.role == Role::System;
        if is_system {
            all.push(text_of(message));
        }
        !is_system
    });
    all.retain(|text| !text.is_empty());
    (!all.is_empty()).then(|| all.join("\n\n"))
}

/// Refuses instructions that no program can be given.
pub fn check_length(text: &str) -> Result<(), Unusable> {
    let quoted = TomlStringBuilder::new(text).as_ml_basic().to_toml_value();
    let bytes = quoted.len();
    if bytes <= MAX_QUOTED_BYTES {
        return Ok(());
    }
    Err((
        FailureKind::PromptTooLarge,
        format!(
            "The instructions take {bytes} bytes when they are handed to codex, which can be given {MAX_QUOTED_BYTES}: shorten them, or put them into a file in the workspace and name the file."
        ),
    ))
}

/// A digest by which the instructions of a conversation are known again.
pub fn digest(text: Option<&str>) -> String {
    let hash = Sha256::digest(text.unwrap_or_default());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::test_message as message;
    use super::*;

    #[test]
    fn system_messages_are_added_in_order_and_taken_out() {
        let mut messages = vec![
            message(Role::System, &["be kind"]),
            message(Role::User, &["hello"]),
            message(Role::System, &["be", "brief"]),
            message(Role::System, &[""]),
        ];
        let taken = take(Some("be just".into()), &mut messages);
        assert_eq!(taken.as_deref(), Some("be just\n\nbe kind\n\nbe\n\nbrief"));
        assert_eq!(messages, [message(Role::User, &["hello"])]);
        assert_eq!(take(Some(String::new()), &mut messages), None);
        assert_eq!(take(None, &mut messages), None);
    }

    #[test]
    fn what_quoting_adds_counts() {
        let longest = MAX_QUOTED_BYTES - 6;
        assert!(check_length(&"x".repeat(longest)).is_ok());
        assert!(check_length(&"x".repeat(longest + 1)).is_err());
        assert!(check_length(&"\\".repeat(longest / 2)).is_ok());
        let (kind, message) = check_length(&"\\".repeat(longest / 2 + 1)).unwrap_err();
        assert_eq!(kind, FailureKind::PromptTooLarge);
        assert!(message.contains("131048"), "{message}");
    }

    #[test]
    fn a_digest_tells_texts_apart_and_nothing_is_the_empty_text() {
        assert_eq!(digest(None), digest(Some("")));
        assert_ne!(digest(None), digest(Some("a")));
        assert_eq!(digest(None).len(), 64);
    }
}
