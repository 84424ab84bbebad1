//! A running codex: how it is started, read, stopped and waited for.
//!
//! **Invariant:** nothing in here decides what may be started; `grant/` decides and never starts.

pub mod ask;
pub mod cgroup;
pub mod exit;
pub mod framing;
pub mod output;
pub mod pauses;
pub mod process;
pub mod spawner;
pub mod start;
pub mod stderr;
pub mod stop;
pub mod supervised;
pub mod task;
