//! A codex that stays: what is said to it, what is read of what it says, who owns it, and how long it is kept.
//!
//! **Invariant:** nothing in here decides what may be asked of codex; the capability decides, by the grant.

pub mod arguments;
pub mod ask;
pub mod envelope;
pub mod outgoing;
pub mod pool;
pub mod server;
pub mod stamp;
mod task;
#[cfg(test)]
mod tests;
mod turn_state;
