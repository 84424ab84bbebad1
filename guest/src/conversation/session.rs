//! Whether a turn resumes the stored conversation or begins a new one.

use alloc::string::String;

use super::thread_id::is_thread_id;
use crate::bindings::session::Entry;
use crate::bindings::turns::ReplacementReason;

/// How a turn begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Beginning {
    /// With a new conversation; `replaces` says which stored one it takes the place of, and why.
    Fresh { replaces: Option<Replaced> },
    /// With the stored one.
    Resume(Entry),
}

/// A stored conversation that this turn does not resume.
#[derive(Debug, Clone, PartialEq)]
pub struct Replaced {
    /// What was stored.
    pub old: String,
    /// Why it is not used.
    pub reason: ReplacementReason,
    /// Why it is not used, in a sentence.
    pub message: &'static str,
}

/// Decides by what the store holds.
pub fn decide(stored: Option<Entry>) -> Beginning {
    match stored {
        None => Beginning::Fresh { replaces: None },
        Some(entry) if is_thread_id(&entry.thread_id) => Beginning::Resume(entry),
        Some(entry) => Beginning::Fresh {
            replaces: Some(Replaced {
                old: entry.thread_id,
                reason: ReplacementReason::NotAThreadId,
                message: "The session file did not contain a thread id; it was moved to .plexum-codex-session.bad, and a new thread was started.",
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

    #[test]
    fn only_a_uuid_is_resumed() {
        let stored = |id: &str| {
            Some(Entry {
                thread_id: id.into(),
                totals: None,
                instructions: None,
            })
        };
        assert_eq!(decide(None), Beginning::Fresh { replaces: None });
        assert!(matches!(decide(stored(ID)), Beginning::Resume(entry) if entry.thread_id == ID));
        for bad in [
            "",
            "not-a-uuid",
            "--last",
            "01a203e6-c71a-7d50-bfec-754792f3dc4b\n",
            "01a203e6xc71a-7d50-bfec-754792f3dc4b",
        ] {
            assert!(
                matches!(decide(stored(bad)), Beginning::Fresh { replaces: Some(replaced) } if replaced.old == bad),
                "{bad:?}"
            );
        }
    }
}
