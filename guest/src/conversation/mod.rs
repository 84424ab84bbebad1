//! The conversation that turns go on with: what is stored of it, and what it has cost.

pub mod session;
pub mod thread_id;
pub mod usage;
