//! A turn of a codex that stays, as the task that owns the process sees it.
//!
//! **Invariant:** a turn moves down the list of its phases and never back, and codex is given nothing of it before
//! [`Phase::Running`].

use std::io;
use std::time::Duration;

use tokio::sync::mpsc::{OwnedPermit, Sender};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ask::{Begin, Finished, Held, TurnLimits};
use super::outgoing;
use crate::codex::framing::Lines;
use crate::codex::spawner::Child;
use crate::codex::stop::{Bounds, Stop, StopCause};
use crate::codex::task::BACKSTOP;

/// How far a turn is.
pub enum Phase {
    /// It has no prompt yet, so codex does nothing.
    Opening,
    /// Codex is at it, or about to be.
    Running,
    /// It was asked to end it, and has until then.
    Interrupted { until: Instant },
    /// It is over. What it has left behind is being ended. If this lasts until `give_up`, nobody does so.
    Sweeping { give_up: Instant },
    /// That is done.
    Swept { left_behind: u32, reusable: bool },
}

/// A turn.
pub struct TurnState {
    pub thread_id: String,
    /// Its id, once codex has named it: in its answer to the prompt, and when it begins.
    pub turn_id: Option<String>,
    /// Whether codex has said that it has begun.
    pub started: bool,
    /// The number of the request that gave it its prompt.
    pub prompt: Option<u64>,
    /// Whether the supervisor was told of it.
    pub announced: bool,
    /// Whether it is not known yet what was there before the turn, although the supervisor was told of it.
    pub begins: bool,
    /// The prompt, until that is known.
    pub unsaid: Option<outgoing::Line>,
    pub bounds: Bounds,
    pub limits: TurnLimits,
    /// Kept until nothing of it is left.
    pub held: Held,
    /// What asks for a suspension.
    pub suspension: Stop,
    /// While codex is suspended: how much time it has left then.
    pub suspended: Option<Duration>,
    /// Where its output goes; `None` once it is over, or nobody reads it.
    pub sender: Option<Sender<io::Result<Lines>>>,
    /// Room for one batch.
    pub room: Option<OwnedPermit<io::Result<Lines>>>,
    /// What codex has said and nobody has taken. No more is read while this waits.
    pub waiting: Lines,
    pub phase: Phase,
    pub stopped: Option<StopCause>,
    /// The deadline of what is waited for, and what it means if it passes.
    pub awaited: Option<(Instant, StopCause)>,
    /// How many batches have been sent.
    pub sent: u64,
    pub output_bytes: u64,
    pub finish: Option<oneshot::Sender<Finished>>,
}

impl TurnState {
    /// One that begins.
    pub fn new(begin: Begin) -> Self {
        TurnState {
            thread_id: begin.thread_id,
            turn_id: None,
            started: false,
            prompt: None,
            announced: false,
            begins: false,
            unsaid: None,
            suspension: begin.bounds.stop.clone(),
            suspended: None,
            bounds: begin.bounds,
            limits: begin.limits,
            held: begin.held,
            sender: Some(begin.sender),
            room: None,
            waiting: Lines::default(),
            phase: Phase::Opening,
            stopped: None,
            awaited: None,
            sent: 0,
            output_bytes: 0,
            finish: None,
        }
    }

    /// Whether this is the number of the request that gave it its prompt.
    pub fn was_given(&self, number: u64) -> bool {
        self.prompt == Some(number)
    }

    /// Whether codex does nothing for it any more.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Sweeping { .. } | Phase::Swept { .. })
    }

    /// Whether nothing of it is left, or all that is left ends with codex.
    pub fn is_swept(&self) -> bool {
        matches!(self.phase, Phase::Swept { .. })
    }

    /// Whether it has said more than it may.
    pub fn says_too_much(&self) -> bool {
        self.output_bytes > self.limits.max_output_bytes
    }

    /// Tells the supervisor that it begins: what is there, such as codex's MCP servers, is not the turn's.
    pub fn announce(&mut self, child: &mut dyn Child) {
        child.turn_begins(self.held.session.lock());
        (self.announced, self.begins) = (true, true);
    }

    /// If it has no prompt, nothing of it is anywhere but with the supervisor.
    pub fn never_began(&mut self) {
        if matches!(self.phase, Phase::Opening) {
            self.awaited = None;
            self.phase = match self.announced {
                true => sweeping(),
                false => Phase::Swept {
                    left_behind: 0,
                    reusable: true,
                },
            };
        }
    }

    /// Whatever is left of it ends with codex.
    pub fn ends_with_codex(&mut self) {
        self.awaited = None;
        self.phase = Phase::Swept {
            left_behind: 0,
            reusable: false,
        };
    }

    /// Codex has said that it is over, or has ended.
    pub fn over(&mut self) {
        if matches!(self.phase, Phase::Running | Phase::Interrupted { .. }) {
            self.phase = sweeping();
            self.awaited = None;
        }
    }

    /// Hands out what was said, when there is room for it; then the end.
    pub fn hand_out(&mut self) {
        if !self.waiting.is_end()
            && let Some(room) = self.room.take()
        {
            room.send(Ok(std::mem::take(&mut self.waiting)));
            self.sent += 1;
            if self.finish.is_none() {
                self.awaited = None;
            }
        }
        if self.is_over() && self.waiting.is_end() {
            self.sender = None;
            self.room = None;
        }
    }

    /// Nobody has run for so long, codex included.
    pub fn paused(&mut self, pause: Duration, grace: Duration) {
        tracing::info!(?pause, "nobody has run for a while");
        let soonest = Instant::now() + grace;
        if let Some((deadline, _)) = &mut self.awaited {
            *deadline = soonest.max(*deadline + pause);
        }
        if let Phase::Interrupted { until } | Phase::Sweeping { give_up: until } = &mut self.phase {
            *until += pause;
        }
    }
}

fn sweeping() -> Phase {
    Phase::Sweeping {
        give_up: Instant::now() + BACKSTOP,
    }
}
