//! A failure as a runtime and a person get it: the kind, a sentence, and the original text.

use alloc::format;
use alloc::string::{String, ToString};

use super::meaning::{Meaning, meaning};
use super::retry_after::retry_after;
use super::text::{self, excerpt};
use crate::bindings::codex::{Refusal, RefusalReason};
use crate::bindings::session::Error as StoreError;
use crate::bindings::turns::{Failure, FailureKind as Kind};

/// A failure of this kind, with the original text where there is one.
pub fn failure(kind: Kind, said: Option<&str>) -> Failure {
    let said = said.map(str::trim).filter(|said| !said.is_empty());
    let plain = said.map(text::unwrap_nested);
    let Meaning {
        retryable,
        what,
        remedy,
    } = meaning(kind);
    let message = match &plain {
        Some(plain) => format!("{what} ({}). {remedy}", excerpt(plain)),
        None => format!("{what}. {remedy}"),
    };
    Failure {
        kind,
        message,
        retryable,
        retry_after_ms: plain.as_deref().and_then(retry_after),
        detail: said.map(ToString::to_string),
    }
}

/// A failure that was found before codex ran, with its own sentence.
pub fn unusable((kind, message): (Kind, String)) -> Failure {
    Failure {
        kind,
        message,
        retryable: false,
        retry_after_ms: None,
        detail: None,
    }
}

/// A failure to start codex, with the host's own sentence, which names the remedy.
pub fn refused(refusal: Refusal) -> Failure {
    let failure = unusable((
        match refusal.reason {
            RefusalReason::Denied => Kind::Denied,
            RefusalReason::NotInstalled | RefusalReason::NotExecutable => Kind::NotInstalled,
            RefusalReason::Stopped => Kind::Killed,
            RefusalReason::TimedOut => Kind::StartTimeout,
            RefusalReason::Resources => Kind::Resources,
            RefusalReason::TooLong | RefusalReason::Failed => Kind::Internal,
        },
        refusal.message,
    ));
    Failure {
        // As when codex was stopped, or was silent, a moment later.
        retryable: matches!(
            refusal.reason,
            RefusalReason::Stopped | RefusalReason::TimedOut | RefusalReason::Resources
        ),
        ..failure
    }
}

/// The host could not load, keep or set aside the record of the conversation.
pub fn session(error: StoreError) -> Failure {
    let kind = match &error {
        StoreError::Busy(_) => Kind::SessionBusy,
        StoreError::Moved(_) => Kind::SessionMoved,
        StoreError::Lost(_) => Kind::SessionLost,
        StoreError::Unreadable(_) => Kind::SessionUnreadable,
        StoreError::Unavailable(_) => Kind::StoreUnavailable,
        StoreError::Resources(_) => Kind::Resources,
        StoreError::Denied(_) => Kind::Denied,
        StoreError::TooLarge(_) => Kind::SessionTooLarge,
        StoreError::Incompatible(_) => Kind::CliIncompatible,
    };
    failure(kind, Some(store_words(&error)))
}

/// The host's sentence about its store.
pub fn store_words(error: &StoreError) -> &str {
    match error {
        StoreError::Busy(words)
        | StoreError::Moved(words)
        | StoreError::Lost(words)
        | StoreError::Unreadable(words)
        | StoreError::Unavailable(words)
        | StoreError::Resources(words)
        | StoreError::Denied(words)
        | StoreError::TooLarge(words)
        | StoreError::Incompatible(words) => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shortened_in_the_sentence_and_kept_in_the_detail() {
        let said = "ü".repeat(1000);
        let failure = failure(Kind::Network, Some(&said));
        assert!(failure.message.chars().count() < 600);
        assert_eq!(failure.detail, Some(said));
    }
}
