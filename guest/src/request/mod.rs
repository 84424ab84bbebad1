//! The request: what codex is asked, and of which model.

pub mod model;
pub mod prompt;
pub mod replay;

use alloc::string::String;

use crate::bindings::provider::FailureKind;

/// A request that no turn can be made of: the kind of failure and the sentence that
/// says why.
pub type Unusable = (FailureKind, String);
