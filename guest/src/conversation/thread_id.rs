//! What the id of a thread looks like.
//!
//! The host has the same two checks in `host-shim/src/contract/thread_id.rs`, written twice on purpose: the host checks
//! what the component hands over, and neither relies on the other.

/// Whether this is a UUID in its usual form. Codex takes anything else for the name of a thread, finds none, and
/// silently begins a new one.
pub fn is_thread_id(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(position, byte)| match position {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
}

/// Whether this may name a thread in an event: the contract has one plain word there.
pub fn is_plain(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

    #[test]
    fn upper_case_is_a_thread_id_too() {
        assert!(is_thread_id(&ID.to_uppercase()));
    }
}
