//! The prompt: which part of the request codex is given.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::bindings::turns::{Content, FailureKind, Message, Role};
use crate::request::Unusable;

/// The longest prompt that codex takes, in characters.
pub const MAX_PROMPT_CHARS: usize = 1_048_576;

/// What the last user message asks for, and what was said before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Its text.
    pub text: String,
    /// The numbers of its images.
    pub images: Vec<u32>,
    /// The messages before it, in case there is no conversation to go on with.
    pub earlier: Vec<Message>,
    /// How many messages came after it. They are not given to codex.
    pub later: usize,
}

/// Finds the prompt in a request's messages.
pub fn find(mut messages: Vec<Message>) -> Result<Prompt, Unusable> {
    let invalid = |message: &str| (FailureKind::InvalidRequest, message.to_string());
    let last_user = messages
        .iter()
        .rposition(|message| message.role == Role::User)
        .ok_or_else(|| {
            invalid("The request has no message of role `user`: add one; its text is the prompt.")
        })?;
    let later = messages.split_off(last_user + 1).len();
    let Some(message) = messages.pop() else {
        return Err(invalid("The request has no messages."));
    };
    let text = text_of(&message);
    if text.trim().is_empty() {
        return Err(invalid("The last user message has no text: add some."));
    }
    let images = message.content.iter().filter_map(|piece| match piece {
        Content::Image(number) => Some(*number),
        Content::Text(_) => None,
    });
    Ok(Prompt {
        text,
        images: images.collect(),
        earlier: messages,
        later,
    })
}

/// The text of a message, its pieces separated by an empty line.
pub(super) fn text_of(message: &Message) -> String {
    let texts: Vec<&str> = message
        .content
        .iter()
        .filter_map(|piece| match piece {
            Content::Text(text) => Some(text.as_str()),
            Content::Image(_) => None,
        })
        .collect();
    texts.join("\n\n")
}

/// Refuses a prompt that codex would refuse after it has opened a thread for it.
pub fn check_length(text: &str) -> Result<(), Unusable> {
    let chars = text.chars().count();
    if chars <= MAX_PROMPT_CHARS {
        return Ok(());
    }
    Err((
        FailureKind::PromptTooLarge,
        format!(
            "The prompt has {chars} characters and codex takes at most {MAX_PROMPT_CHARS}: shorten it, or put it into a file in the workspace and name the file."
        ),
    ))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::test_message as message;
    use super::*;

    #[test]
    fn the_last_user_message_is_the_prompt() {
        let messages = vec![
            message(Role::User, &["first"]),
            message(Role::Assistant, &["answer"]),
            message(Role::User, &["second", "with a second piece"]),
            message(Role::Assistant, &["a prefill"]),
        ];
        let prompt = find(messages).unwrap();
        assert_eq!(prompt.text, "second\n\nwith a second piece");
        assert_eq!((prompt.earlier.len(), prompt.later), (2, 1));
        assert!(prompt.images.is_empty());
    }

    #[test]
    fn a_request_without_words_is_invalid() {
        for messages in [
            vec![],
            vec![message(Role::System, &["be kind"])],
            vec![message(Role::User, &[])],
            vec![message(Role::User, &[" \n\t"])],
            vec![Message {
                role: Role::User,
                content: vec![Content::Image(0)],
            }],
        ] {
            assert_eq!(find(messages).unwrap_err().0, FailureKind::InvalidRequest);
        }
    }

    #[test]
    fn codex_counts_characters_not_bytes() {
        let longest = "é".repeat(MAX_PROMPT_CHARS);
        assert!(check_length(&longest).is_ok());
        let (kind, sentence) = check_length(&(longest + "é")).unwrap_err();
        assert_eq!(kind, FailureKind::PromptTooLarge);
        assert!(sentence.contains("1048577"), "{sentence}");
    }
}
