//! Conversations that any machine can go on with: a lease, a fence and codex's own record of a thread, in one store.
//!
//! [`Fleet`] is a [`SessionStore`](crate::SessionStore) over an engine, a [`FleetStore`](store::FleetStore). When a turn
//! begins it takes the lease of the conversation and puts codex's record where codex looks for it; while the turn runs it
//! renews the lease and hands the new lines of the record to the engine, as bytes; when codex is gone, the rest of them and
//! what is known of the conversation go into the engine in one durable change. Only then is the end of the turn handed out.
//!
//! **Invariant:** when an end without a failure is handed out, any host of the fleet can go on from there. When a host
//! dies, at most the lines of its last moments are lost, and never a turn whose end was handed out. A host whose lease was
//! taken by another one writes nothing.
//!
//! What travels is the record of the thread alone: neither the files of the workspace nor codex's login.

mod clock;
mod codex_here;
#[cfg(feature = "postgres")]
mod configured;
pub mod conformance;
mod handle;
mod keeper;
mod key;
pub mod memory;
mod operator;
#[cfg(feature = "postgres")]
pub mod postgres;
mod prefixes;
mod record;
mod restore;
mod sessions;
mod settings;
mod shared;
pub mod store;

#[cfg(feature = "postgres")]
pub use configured::{fleet_of, postgres_of};
pub use memory::MemoryStore;
pub use sessions::Fleet;
pub use settings::FleetSettings;
