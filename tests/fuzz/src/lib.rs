//! What the fuzz targets share.
//!
//! An input of a target is text where it can be, so that a seed can be read and written by hand:
//!
//! - [`fields`]: the parts of an input, set apart by ASCII's own separators.
//! - [`now`]: runs what never waits, without a runtime.
//! - [`pieces`]: a reader that gives its bytes in pieces, and has nothing to give in between.
//! - [`scratch`]: a folder for one input.
//! - [`codex`]: a host of the component whose codex prints what the input says.
//! - [`turn`]: a turn of the component, and what has to hold for its events.

pub mod codex;
pub mod fields;
pub mod now;
pub mod pieces;
pub mod scratch;
pub mod turn;
