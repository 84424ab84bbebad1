//! What is reported about turns: figures for a monitor, lines for an auditor.

pub mod metrics;
pub mod record;
