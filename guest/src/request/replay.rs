//! What a new conversation is given of the one that was lost.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::prompt::{MAX_PROMPT_CHARS, text_of};
use crate::bindings::provider::{Message, Role};

/// The most characters of earlier messages that a new conversation is given.
const MAX_REPLAY_CHARS: usize = 100_000;

/// A prompt that gives a new conversation what was said in the one that was lost: as many
/// of the latest messages as fit, oldest first.
pub fn replay(earlier: &[Message], text: &str) -> String {
    let mut room =
        MAX_REPLAY_CHARS.min(MAX_PROMPT_CHARS.saturating_sub(text.chars().count() + 500));
    let mut parts = Vec::new();
    for message in earlier.iter().rev() {
        let speaker = match message.role {
            Role::System => "System",
            Role::User => "User",
            Role::Assistant => "Assistant",
        };
        let words = format!("{speaker}: {}", text_of(message));
        match room.checked_sub(words.chars().count() + 2) {
            Some(left) => room = left,
            None => break,
        }
        parts.push(words);
    }
    parts.reverse();
    let omitted = if parts.len() < earlier.len() {
        " Messages before these were left out."
    } else {
        ""
    };
    format!(
        "The earlier conversation was lost. This is what was said in it.{omitted}\n\n{}\n\nThe next message, to be answered now:\n\n{text}",
        parts.join("\n\n")
    )
}

#[cfg(test)]
mod tests {
    use super::super::test_message as message;
    use super::*;

    #[test]
    fn a_replay_gives_the_latest_messages_in_order_and_says_that_it_leaves_some_out() {
        let earlier = [
            message(Role::User, &["one"]),
            message(Role::Assistant, &["two"]),
        ];
        let replayed = replay(&earlier, "three");
        assert!(
            replayed.contains("User: one\n\nAssistant: two"),
            "{replayed}"
        );
        assert!(
            replayed.ends_with("three") && !replayed.contains("left out"),
            "{replayed}"
        );

        let long = [
            message(Role::User, &[&"x".repeat(MAX_REPLAY_CHARS)]),
            message(Role::Assistant, &["two"]),
        ];
        let replayed = replay(&long, "three");
        assert!(
            replayed.contains("left out")
                && replayed.contains("Assistant: two")
                && replayed.len() < 1000,
            "{replayed}"
        );
    }
}
