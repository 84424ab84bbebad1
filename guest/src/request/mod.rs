//! The request: what codex is asked, and which model.

pub mod model;
pub mod prompt;
pub mod replay;

use alloc::string::String;

use crate::bindings::provider::FailureKind;

/// Why a request cannot become a turn: the kind of failure, and a sentence.
pub type Unusable = (FailureKind, String);
