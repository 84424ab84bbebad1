//! What the id of a thread looks like.
//!
//! The component has the same two checks in `guest/src/conversation/thread_id.rs`, written twice on purpose: the host
//! checks what the component hands over, and neither relies on the other.

/// Whether this is a UUID in its usual form. Codex takes anything else for the name of a thread, finds none, and
/// silently begins a new conversation.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(position, byte)| match position {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
}

/// Whether this could name a thread: one plain word, which runtimes may safely print, and make a file name of.
pub fn is_plain(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_form_is_a_uuid() {
        let id = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
        assert!(is_uuid(id) && is_uuid(&id.to_uppercase()) && is_plain(id));
        for other in [
            "",
            "--last",
            &id.replace('-', ""),
            &format!("{id}\n"),
            &id.replace('a', "g"),
        ] {
            assert!(!is_uuid(other), "{other:?}");
        }
    }

    #[test]
    fn a_plain_word_has_no_blanks_and_an_end() {
        for word in ["a", "thread_1", &"a".repeat(128)] {
            assert!(is_plain(word), "{word:?}");
        }
        for other in ["", " a", "a\n", "../a", "ä", &"a".repeat(129)] {
            assert!(!is_plain(other), "{other:?}");
        }
    }
}
