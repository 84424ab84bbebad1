//! What the server does with one request, decided before the first byte goes out.

use std::time::Duration;

use serde_json::Value;

use super::event::{self, Tokens};

/// The answer to one request.
#[derive(Debug)]
pub(super) enum Reply {
    /// Status 200 and a stream of events.
    Stream(Vec<Frame>),
    /// Another status with a whole body.
    Refusal(Refusal),
    /// Nothing at all, not even headers.
    NoHeaders,
}

/// One step of a stream. After the last one the stream ends cleanly.
#[derive(Debug)]
pub(super) enum Frame {
    /// An event.
    Event(Value),
    /// Bytes that are no proper event.
    Raw(String),
    /// Time that passes.
    Pause(Duration),
    /// The connection breaks here.
    Cut,
    /// Nothing more, and the connection stays open.
    Silence,
}

/// A status with its headers and body.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) retry_after: Option<u32>,
    pub(super) body: String,
}

/// Collects the frames of one response.
#[derive(Debug)]
pub(super) struct Response {
    id: String,
    serial: u64,
    items: u32,
    frames: Vec<Frame>,
}

impl Response {
    /// A response that has begun. `serial` makes its ids unlike those of every other.
    pub(super) fn new(serial: u64) -> Self {
        let id = format!("resp_{serial:x}");
        let frames = vec![Frame::Event(event::created(&id))];
        Self {
            id,
            serial,
            items: 0,
            frames,
        }
    }

    /// An id for the next output item.
    pub(super) fn item_id(&mut self, prefix: &str) -> String {
        self.items += 1;
        format!("{prefix}_{:x}_{}", self.serial, self.items)
    }

    pub(super) fn frame(mut self, frame: Frame) -> Self {
        self.frames.push(frame);
        self
    }

    pub(super) fn events(mut self, events: impl IntoIterator<Item = Value>) -> Self {
        self.frames.extend(events.into_iter().map(Frame::Event));
        self
    }

    /// A finished output item.
    pub(super) fn item(self, item: &Value) -> Self {
        self.events([event::item_done(item)])
    }

    /// A whole message.
    pub(super) fn message(mut self, text: &str) -> Self {
        let id = self.item_id("msg");
        self.events(event::message(&id, text))
    }

    /// Ends the response with the usual tokens.
    pub(super) fn completed(self) -> Reply {
        self.completed_with(Some(Tokens::default()))
    }

    pub(super) fn completed_with(self, tokens: Option<Tokens>) -> Reply {
        let end = event::completed(&self.id, tokens);
        self.events([end]).unfinished()
    }

    pub(super) fn incomplete(self, reason: &str) -> Reply {
        let end = event::incomplete(&self.id, reason);
        self.events([end]).unfinished()
    }

    pub(super) fn failed(self, code: &str, message: &str) -> Reply {
        let end = event::failed(&self.id, code, message);
        self.events([end]).unfinished()
    }

    /// Breaks the connection.
    pub(super) fn cut(self) -> Reply {
        self.frame(Frame::Cut).unfinished()
    }

    /// Ends the stream as it stands.
    pub(super) fn unfinished(self) -> Reply {
        Reply::Stream(self.frames)
    }
}
