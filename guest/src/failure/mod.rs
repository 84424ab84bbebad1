//! Why a turn failed: from what codex reported and how it ended, to a kind that a runtime can decide by and a
//! sentence that a person can act on.

mod evidence;
mod meaning;
mod phrase;
mod retry_after;
mod sentence;
mod text;

pub use evidence::{Evidence, LastWords, classify, status_words};
pub use sentence::{failure, refused, session_unreadable, unusable};
pub use text::excerpt;
