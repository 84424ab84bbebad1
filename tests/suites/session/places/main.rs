//! Whose a thread is: workspaces that are moved, copied, cleaned and tampered with.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

mod turns;
mod world;
