//! Halves of surrogate pairs, which a writer that cuts a text in the middle of an emoji leaves in JSON.

use alloc::string::String;

/// The text with U+FFFD in place of each half of a pair that stands alone; nothing if there is none.
///
/// The host has the same in `host-shim/src/bin/plexum-openai-provider/surrogates.rs`, for the messages of a client: the
/// component has no code in common with it.
pub fn replaced(json: &str) -> Option<String> {
    let mut fixed = String::new();
    let mut copied = 0;
    let mut at = 0;
    let bytes = json.as_bytes();
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at = at.saturating_add(found);
        let next = at.saturating_add(6);
        match escaped(json, at) {
            // A pair.
            Some(0xd800..=0xdbff) if matches!(escaped(json, next), Some(0xdc00..=0xdfff)) => {
                at = next.saturating_add(6);
            }
            Some(0xd800..=0xdfff) => {
                fixed.push_str(json.get(copied..at)?);
                fixed.push_str("\\ufffd");
                at = next;
                copied = at;
            }
            Some(_) => at = next,
            // Another escape, such as `\\`, has two characters.
            None => at = at.saturating_add(2),
        }
    }
    if copied == 0 {
        return None;
    }
    fixed.push_str(json.get(copied..)?);
    Some(fixed)
}

/// The number in the `\uXXXX` that begins there.
fn escaped(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at.checked_add(6)?)?.strip_prefix("\\u")?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_digits.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_replaced_and_pairs_are_kept() {
        for (json, fixed) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""a\uD83Db\udc00c""#, Some(r#""a\ufffdb\ufffdc""#)),
            (r#""\ud83d\ud83e\udd80""#, Some(r#""\ufffd\ud83e\udd80""#)),
            (r#""\ud83e\udd80""#, None),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            (r#""\u00e9 \n \\""#, None),
            (r#""\ud8""#, None),
            (r#""\"#, None),
            ("\"\u{fe0f}\\ud83dé\"", Some("\"\u{fe0f}\\ufffdé\"")),
        ] {
            assert_eq!(replaced(json).as_deref(), fixed, "{json}");
        }
    }
}
