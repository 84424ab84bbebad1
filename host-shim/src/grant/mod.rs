//! What is allowed: which calls of codex, which program, which threads, which variables.
//!
//! **Invariant:** what is in here decides and never starts anything; `codex/` starts and never decides.

mod argument;
mod argv;
pub mod environment;
#[cfg(feature = "audit")]
mod explanation;
#[cfg(not(feature = "fuzzing"))]
pub(crate) mod known_threads;
#[cfg(feature = "fuzzing")]
pub mod known_threads;
pub mod npm_script;
#[cfg(feature = "audit")]
pub mod permission;
pub mod program;
pub(crate) mod request_word;

#[cfg(feature = "audit")]
pub(crate) use argument::MAX_ARGUMENT_BYTES;
pub use argv::{Allowed, Call, Grant, Refused, Role};
#[cfg(feature = "audit")]
pub use explanation::{Change, Explanation, Lack};
pub use request_word::{RequestWord, RequestWords};
