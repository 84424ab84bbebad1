//! What the sides of the comparison share with the program that drives them.
#![warn(missing_docs)]

pub mod processes;
pub mod side;
