//! `acp`, as an editor uses it: through the real program's standard input and output.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

mod acpx;
mod client;
mod ending;
mod failures;
mod history;
mod library;
mod login;
mod protocol;
mod schema;
mod servers;
mod sessions;
mod turns;
