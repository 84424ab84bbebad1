//! Why a turn failed: from what codex reported and how it ended, to a kind that a runtime can decide by and a
//! sentence that a person can act on.

mod cut_off;
mod evidence;
mod meaning;
mod phrase;
mod retry_after;
mod sentence;
mod text;

pub use cut_off::cut_off;
pub use evidence::{Evidence, LastWords, classify, codex_refused, status_words, without_report};
pub use sentence::{failure, refused, session, store_words, unusable};
pub use text::excerpt;
