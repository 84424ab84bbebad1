//! Turns in which nothing failed, but whose answer is not whole.

use crate::bindings::turns::StopReason;

/// Why the answer ends where it does, if codex says that the service cut it off. Codex calls that a failure.
pub fn cut_off(said: &str) -> Option<StopReason> {
    let (_, reason) = said.split_once("Incomplete response returned, reason: ")?;
    if reason.starts_with("max_output_tokens") {
        Some(StopReason::MaxTokens)
    } else if reason.starts_with("content_filter") {
        Some(StopReason::Refusal)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_and_a_filter_are_told_from_failures() {
        for (said, reason) in [
            (
                "Incomplete response returned, reason: max_output_tokens",
                Some(StopReason::MaxTokens),
            ),
            (
                "stream disconnected before completion: Incomplete response returned, reason: content_filter",
                Some(StopReason::Refusal),
            ),
            ("Incomplete response returned, reason: other", None),
            ("stream disconnected before completion", None),
        ] {
            assert_eq!(cut_off(said), reason, "{said}");
        }
    }
}
