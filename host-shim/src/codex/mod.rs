//! A running codex: how it is started, read, stopped and waited for.
//!
//! **Invariant:** nothing in here decides what may be started; `grant/` decides and never starts.

pub mod ask;
pub mod cgroup;
pub mod exit;
pub mod framing;
pub mod home;
pub mod output;
pub mod pauses;
pub mod process;
pub mod pulse;
#[cfg(any(feature = "doctor", feature = "fleet"))]
#[cfg_attr(
    not(feature = "doctor"),
    allow(dead_code, reason = "most of it is for the doctor")
)]
pub mod query;
pub mod remains;
pub mod spawner;
pub mod start;
pub mod stderr;
pub mod stop;
pub mod supervised;
pub mod supervisor;
pub mod task;
#[cfg(any(feature = "doctor", feature = "fleet"))]
pub mod version;
pub mod waiting;
