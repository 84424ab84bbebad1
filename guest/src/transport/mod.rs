//! The ways to talk to codex.

pub mod exec;
