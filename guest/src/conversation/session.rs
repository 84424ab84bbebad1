//! Whether a turn resumes the stored conversation or begins a new one.

use alloc::string::String;

use super::thread_id::is_thread_id;
use crate::bindings::session::{Entry, Loaded};
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
pub fn decide(loaded: Loaded) -> Beginning {
    match loaded.entry {
        None => Beginning::Fresh {
            replaces: loaded.foreign.map(|old| Replaced {
                old,
                reason: ReplacementReason::BelongsElsewhere,
                message: "The session file named a thread that belongs to another workspace; it was moved to .plexum-codex-session.bad, and a new thread was started.",
            }),
        },
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
    use alloc::vec::Vec;

    use super::*;

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

    fn loaded(entry: Option<Entry>) -> Loaded {
        Loaded {
            entry,
            foreign: None,
            notices: Vec::new(),
        }
    }

    #[test]
    fn a_thread_of_another_workspace_is_named_and_not_resumed() {
        let foreign = Loaded {
            foreign: Some(ID.into()),
            ..loaded(None)
        };
        assert!(matches!(
            decide(foreign),
            Beginning::Fresh { replaces: Some(replaced) }
                if replaced.old == ID && replaced.reason == ReplacementReason::BelongsElsewhere
        ));
    }

    #[test]
    fn only_a_uuid_is_resumed() {
        let stored = |id: &str| {
            loaded(Some(Entry {
                thread_id: id.into(),
                totals: None,
                instructions: None,
            }))
        };
        assert_eq!(decide(loaded(None)), Beginning::Fresh { replaces: None });
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
