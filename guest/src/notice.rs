//! Notices: what a person should know about a turn besides its answer.

use alloc::string::String;

use crate::bindings::turns::{Event, Notice, NoticeKind, RequestPart};

/// A notice.
pub fn notice(kind: NoticeKind, message: impl Into<String>) -> Event {
    Event::Notice(Notice {
        kind,
        message: message.into(),
    })
}

/// A notice that a part of the request is not honoured, and why.
pub fn unsupported(part: RequestPart, message: impl Into<String>) -> Event {
    notice(NoticeKind::Unsupported(part), message)
}
