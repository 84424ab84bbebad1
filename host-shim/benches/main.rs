//! What the sandbox costs: `cargo bench --workspace --bench host`.
//!
//! `scripts/bench.sh` runs this along with the measurements of whole turns, and puts both into one table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run should say so and end"
)]

mod in_memory;
mod material;
mod native;
mod peers;
mod sandbox;
mod start;
mod stream;
mod translation;
mod turn;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    translation::bench,
    start::bench,
    turn::bench,
    stream::bench
);
criterion_main!(benches);
