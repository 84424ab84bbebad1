//! What the programs of the comparison share: the one that drives the sides, the sides, and those that put figures together.
#![warn(missing_docs)]

pub mod comparison;
pub mod criterion;
pub mod docs;
pub mod folder;
pub mod processes;
pub mod side;
pub mod statistics;
