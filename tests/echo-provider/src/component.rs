//! The exports of the world.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::bindings::turns::{
    Capabilities, Description, Event, Failure, Guest, GuestTurn, InputKinds, Model, Request,
    Turn as TurnHandle,
};
use crate::request::{Asked, EFFORTS};
use crate::script::{self, Script};

struct Component;

impl Guest for Component {
    type Turn = EchoTurn;

    fn describe() -> Description {
        let model = |id: &str| Model {
            id: id.to_owned(),
            display_name: None,
            context_window: None,
            inputs: InputKinds::empty(),
            efforts: EFFORTS.map(str::to_owned).to_vec(),
        };
        Description {
            id: "plexum-echo-provider".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            models: vec![
                Model {
                    display_name: Some("Echo".to_owned()),
                    context_window: Some(4096),
                    ..model("echo")
                },
                model("echo-small"),
            ],
            capabilities: Capabilities::STREAMING_DELTAS
                | Capabilities::TOOL_UPDATES
                | Capabilities::INSTRUCTIONS
                | Capabilities::EFFORT,
        }
    }
}

/// A turn under way: what is still to be said, one batch for each call of `next`.
struct EchoTurn(RefCell<Rest>);

struct Rest {
    batches: VecDeque<Vec<Event>>,
    /// Whether text goes on when the batches are over, until the turn is cancelled.
    endless: bool,
}

impl Rest {
    fn is_over(&self) -> bool {
        self.batches.is_empty() && !self.endless
    }
}

impl GuestTurn for EchoTurn {
    fn start(request: Request) -> Result<TurnHandle, Failure> {
        let asked = Asked::read(request)?;
        let Script { events, endless } = script::play(&asked);
        // One event at a time, so that there is a moment to cancel between any two.
        let batches = events.into_iter().map(|event| vec![event]).collect();
        let rest = Rest { batches, endless };
        Ok(TurnHandle::new(EchoTurn(RefCell::new(rest))))
    }

    fn next(&self) -> Vec<Event> {
        let mut rest = self.0.borrow_mut();
        match rest.batches.pop_front() {
            Some(batch) => batch,
            None if rest.endless => vec![script::text(0, "and so on ")],
            None => Vec::new(),
        }
    }

    fn cancel(&self) {
        let mut rest = self.0.borrow_mut();
        if !rest.is_over() {
            rest.batches = VecDeque::from([vec![script::cancelled()]]);
            rest.endless = false;
        }
    }
}

crate::bindings::export!(Component with_types_in crate::bindings);
