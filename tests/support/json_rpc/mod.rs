//! Programs that speak JSON-RPC over their standard input and output, as `serve` and `acp` do.
#![expect(
    clippy::indexing_slicing,
    reason = "what is missing in a Value is null, and does not panic"
)]

pub mod garbage;
mod peer;

pub use peer::Peer;
