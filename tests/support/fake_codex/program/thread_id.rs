//! Thread ids.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// A new id of codex's kind: a UUID of version 7.
pub(crate) fn fresh() -> String {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    // The standard library's one source of random bits, enough for ids that only have to differ.
    let random = u128::from(RandomState::new().hash_one(millis)) << 64
        | u128::from(RandomState::new().hash_one(std::process::id()));
    let version_and_variant = 0x7 << 76 | 0b10 << 62;
    let free = !(0xf << 76 | 0b11 << 62) & ((1 << 80) - 1);
    let id = (millis << 80) | (random & free) | version_and_variant;
    let hex = format!("{id:032x}");
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.char_indices() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// Whether codex takes a text for an id, and not for the name of a thread.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_are_uuids_of_version_7_and_differ() {
        let (one, other) = (fresh(), fresh());
        assert!(is_uuid(&one), "{one}");
        assert_eq!(&one[14..15], "7", "{one}");
        assert!(one[19..20].contains(['8', '9', 'a', 'b']), "{one}");
        assert_ne!(one, other);
        assert!(!is_uuid("not-a-uuid"));
    }
}
