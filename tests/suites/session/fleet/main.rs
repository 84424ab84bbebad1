//! Conversations that any host goes on with: real codex on several hosts, each with a home and a workspace of its own, over
//! one store.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

mod faults;
mod moves;

use plexum_openai_provider::fleet::MemoryStore;
use plexum_openai_provider::fleet::store::{FleetStore as _, Listed};
use plexum_openai_provider_tests::fleet_host::FleetHost;
use tokio::runtime::Runtime;

/// The conversation of all tests, as the store has it.
fn stored(store: &MemoryStore) -> Listed {
    let runtime = Runtime::new().unwrap();
    let found = runtime.block_on(store.find("session:agent")).unwrap();
    found.expect("the conversation is there")
}

/// Codex's record of the conversation on this host.
fn record(host: &FleetHost, stored: &Listed) -> Vec<u8> {
    let mark = stored
        .thread
        .as_ref()
        .and_then(|thread| thread.record.as_ref());
    let mark = mark.expect("a record is kept");
    std::fs::read(host.home.path().join(&mark.path)).expect("the record is there")
}

/// How much of codex's record is kept.
fn kept_bytes(stored: &Listed) -> u64 {
    let record = stored
        .thread
        .as_ref()
        .and_then(|thread| thread.record.as_ref());
    record.map_or(0, |record| record.bytes)
}
