//! The conversation that turns continue: the thread that codex keeps of it, what is stored, and what it has cost.

pub mod session;
pub mod thread;
pub mod thread_id;
pub mod usage;
