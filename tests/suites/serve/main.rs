//! `serve`, as a runtime in another language uses it: through the real program's standard input and
//! output.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

mod backpressure;
mod client;
mod ending;
mod many;
mod metrics_page;
mod node;
mod protocol;
mod schema;
mod transcript;
mod turns;
