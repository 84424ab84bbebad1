//! What is reported about turns: figures for a monitor, lines for an auditor.

pub mod durations;
pub mod fleet;
pub mod metrics;
#[cfg(feature = "prometheus")]
mod prometheus;
pub mod record;
