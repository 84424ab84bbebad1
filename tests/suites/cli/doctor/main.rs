//! The `doctor` command, as an operator uses it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

mod codex;
mod installation;
mod login;
mod machine;
mod patient;
mod real_codex;
