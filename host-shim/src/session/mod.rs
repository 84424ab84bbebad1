//! Where a workspace's conversation is remembered between turns.

pub mod decision;
pub mod files;
pub mod folder;
mod git;
pub mod history;
pub mod index;
pub mod lock;
pub mod place;
pub mod queue;
pub mod rollout;
pub mod state;
pub mod store;
