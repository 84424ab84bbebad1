//! Which members of a document are read.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::Json;

/// Room for the members of an object: codex's hardly ever have more.
const MEMBERS: usize = 8;

/// The members of an item that are passed on as they were written. All of them are documents of others: of a tool, of the
/// model. They are known by name, because a value cannot be both looked at and kept without being read twice.
fn passed_on(key: &str) -> bool {
    matches!(
        key,
        "action" | "agents_states" | "arguments" | "changes" | "receiver_thread_ids" | "result"
    )
}

/// The same for a notification. `items` are all of a turn that has ended, once more, and nobody looks at them.
fn passed_on_nested(key: &str) -> bool {
    matches!(
        key,
        "action"
            | "agentsStates"
            | "arguments"
            | "changes"
            | "items"
            | "receiverThreadIds"
            | "result"
    )
}

/// What a document is.
#[derive(Debug, Clone, Copy)]
enum Of {
    Event,
    Notification,
}

/// What becomes of the members of an object.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Decides which stay as they were written.
    of: Of,
    /// How many levels of objects get room for their members at once. Below these there may be very many objects, which
    /// begin without.
    roomy: usize,
}

impl Rule {
    /// An event and its item have room.
    pub const DOCUMENT: Self = Rule {
        of: Of::Event,
        roomy: 2,
    };
    /// A notification, its parameters and its item have.
    pub const NESTED: Self = Rule {
        of: Of::Notification,
        roomy: 3,
    };
    pub const SMALL: Self = Rule {
        of: Of::Event,
        roomy: 0,
    };

    /// That for what is in an object.
    pub fn inside(self) -> Self {
        Rule {
            roomy: self.roomy.saturating_sub(1),
            ..self
        }
    }

    /// Whether the member of that name stays as it was written.
    pub fn passes_on(self, key: &str) -> bool {
        self.roomy > 0
            && match self.of {
                Of::Event => passed_on(key),
                Of::Notification => passed_on_nested(key),
            }
    }

    /// The members of an object, of which none has been read.
    pub fn room<'a>(self) -> Vec<(Cow<'a, str>, Json<'a>)> {
        Vec::with_capacity(if self.roomy > 0 { MEMBERS } else { 0 })
    }
}
