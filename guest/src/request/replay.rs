//! What a new conversation is given of an earlier one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::prompt::{MAX_PROMPT_CHARS, text_of};
use crate::bindings::turns::{Content, Message, Role};

/// The most characters of earlier messages that a new conversation is given.
const MAX_REPLAY_CHARS: usize = 100_000;

/// Why a conversation is given what was said before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// Codex has none to go on with, and the runtime has.
    History,
    /// Codex has lost it.
    Lost,
    /// It is begun again, under other instructions.
    Restarted,
}

/// A prompt, and what was said before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The text for codex.
    pub text: String,
    /// How many of the earliest messages did not fit.
    pub omitted: usize,
    /// How many images these messages held. They are not given.
    pub images: usize,
}

/// A prompt that gives a new conversation what was said before it: as many of the latest messages as fit, oldest
/// first.
pub fn replay(reason: Reason, earlier: &[Message], text: &str) -> Replay {
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
    let omitted = earlier.len() - parts.len();
    let begins = match reason {
        Reason::History => "This is what was said before in this conversation.",
        Reason::Lost => "The earlier conversation was lost. This is what was said in it.",
        Reason::Restarted => "This conversation begins again. This is what was said before.",
    };
    let left_out = if omitted > 0 {
        " Messages before these were left out."
    } else {
        ""
    };
    Replay {
        text: format!(
            "{begins}{left_out}\n\n{}\n\nThe next message, to be answered now:\n\n{text}",
            parts.join("\n\n")
        ),
        omitted,
        images: images_in(earlier),
    }
}

/// How many images these messages hold.
fn images_in(messages: &[Message]) -> usize {
    let pieces = messages.iter().flat_map(|message| &message.content);
    pieces
        .filter(|piece| matches!(piece, Content::Image(_)))
        .count()
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
        let Replay { text, omitted, .. } = replay(Reason::Lost, &earlier, "three");
        assert!(text.contains("User: one\n\nAssistant: two"), "{text}");
        assert!(text.contains("was lost"), "{text}");
        assert!(
            text.ends_with("three") && !text.contains("left out"),
            "{text}"
        );
        assert_eq!(omitted, 0);

        let long = [
            message(Role::User, &[&"x".repeat(MAX_REPLAY_CHARS)]),
            message(Role::Assistant, &["two"]),
        ];
        let Replay { text, omitted, .. } = replay(Reason::History, &long, "three");
        assert!(
            text.contains("left out") && text.contains("Assistant: two") && text.len() < 1000,
            "{text}"
        );
        assert_eq!(omitted, 1);
    }
}
