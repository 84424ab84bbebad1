//! What is allowed: which calls of codex, which program, which threads, which variables.
//!
//! **Invariant:** what is in here decides and never starts anything; `codex/` starts and never decides.

mod argv;
pub mod environment;
mod explanation;
#[cfg(not(fuzzing))]
pub(crate) mod known_threads;
#[cfg(fuzzing)]
pub mod known_threads;
pub mod npm_script;
pub(crate) mod permission;
pub(crate) mod program;

pub(crate) use argv::MAX_ARGUMENT_BYTES;
pub use argv::{Allowed, Call, Grant, Refused, Role};
pub use explanation::{Change, Explanation};
