//! A fleet's conversations in a real PostgreSQL.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

mod contracts;
mod host;
mod load;
mod refusals;
mod schema;
mod tls;
mod trouble;
