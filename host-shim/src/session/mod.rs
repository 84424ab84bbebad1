//! Where a workspace's conversation is remembered between turns.

pub mod files;
pub mod lock;
pub mod place;
pub mod queue;
pub mod store;
