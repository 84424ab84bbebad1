//! What the name of an effort looks like.

/// Whether this can be one: codex has names such as `low` and `xhigh`, and they differ from model to model. The component
/// has the same rule in `guest/src/request/effort.rs`, written twice on purpose: the host checks what it puts into a
/// call of codex, and does not rely on the component.
pub fn is_effort(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
