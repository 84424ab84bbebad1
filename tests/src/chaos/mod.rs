//! Turns with faults: every kind that there is, at random moments, many at once.
//!
//! [`Fault`] says what goes wrong and how such a turn may end, [`Bench`] runs the turns, and [`Census`] counts what
//! they leave behind.

mod bench;
mod census;
mod fault;

pub use bench::Bench;
pub use census::{Census, parent_of, processes_below};
pub use fault::Fault;
