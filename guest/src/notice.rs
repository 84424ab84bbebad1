//! Notices: what a person should know about a turn besides its answer.

use alloc::string::String;

use crate::bindings::provider::{Event, Notice, NoticeKind};

/// A notice that consists of its sentence.
pub fn notice(kind: NoticeKind, message: String) -> Event {
    Event::Notice(Notice {
        kind,
        message,
        old: None,
        new: None,
        reason: None,
    })
}
