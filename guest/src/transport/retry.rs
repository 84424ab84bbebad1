//! What codex does about an error, as its words tell.

use crate::bindings::turns::Reconnection;
use crate::transport::Retry;

/// A retry of which codex does not say how often it is made.
pub const UNNUMBERED: Retry = Retry::Request(Reconnection {
    attempt: None,
    attempts: None,
});

/// Whether codex tries again after this error.
pub fn retry(message: &str) -> Option<Retry> {
    if message.contains("waiting for network") {
        Some(Retry::Network)
    } else {
        let rest = message.strip_prefix("Reconnecting")?;
        Some(attempts(rest).map_or(UNNUMBERED, Retry::Request))
    }
}

/// The numbers in `... 2/5 (cut)`.
fn attempts(rest: &str) -> Option<Reconnection> {
    let (attempt, rest) = rest.trim_start_matches(['.', '…', ' ']).split_once('/')?;
    let end = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    Some(Reconnection {
        attempt: Some(attempt.parse().ok()?),
        attempts: Some(rest.get(..end)?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_tell_whether_codex_tries_again() {
        let numbered = |attempt, attempts| {
            Some(Retry::Request(Reconnection {
                attempt: Some(attempt),
                attempts: Some(attempts),
            }))
        };
        for (message, expected) in [
            ("Reconnecting... 1/5 (cut)", numbered(1, 5)),
            ("Reconnecting... 12/30", numbered(12, 30)),
            ("Reconnecting... soon", Some(UNNUMBERED)),
            ("Reconnecting... 99999999999/5", Some(UNNUMBERED)),
            (
                "Reconnecting... waiting for network (x)",
                Some(Retry::Network),
            ),
            ("unexpected status 401 Unauthorized", None),
        ] {
            assert_eq!(retry(message), expected, "{message}");
        }
    }
}
