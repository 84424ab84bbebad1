//! What a component swapped for a hostile one can do: start codex in this workspace with a prompt, and
//! nothing more. The hostile component is a real one, the crate `tests/hostile`; the prompt chooses
//! what it tries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

mod arguments;
mod bench;
mod imports;
mod limits;
mod memory;
mod server;
mod session;
