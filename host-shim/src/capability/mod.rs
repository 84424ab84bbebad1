//! What one turn is granted. Each file in here is one of the component's imports, and does what it offers.

pub mod bindings;
pub mod budget;
mod codex;
pub(crate) mod codex_server;
mod finishing;
mod from_wit;
pub mod handover;
pub mod image;
mod image_format;
pub mod leftovers;
mod log;
mod private_folder;
mod session;
mod settings;
pub mod to_wit;
pub mod view;
pub mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use wasmtime::component::ResourceTable;

use crate::app_server::pool::Pool;
use crate::capability::budget::{Budget, Exceeded};
use crate::capability::handover::Handover;
use crate::capability::leftovers::Leftovers;
use crate::capability::watch::Watch;
use crate::codex::pauses::Deadline;
use crate::codex::spawner::Spawner;
use crate::codex::stop::{Bounds, StopCause};
use crate::config::Config;
use crate::contract::event::Event;
use crate::engine::ticker::Ticking;
use crate::grant::Grant;
use crate::grant::known_threads::KnownThreads;
use crate::grant::program::{PinnedProgram, ProgramError};
use crate::session::queue::Foremost;
use crate::session::store::{Loaded, Session};
use crate::telemetry::metrics::Meter;
use crate::telemetry::record::TurnRecord;

/// A search for the program that codex is.
pub(crate) type Search = JoinHandle<Result<PathBuf, ProgramError>>;

/// What is granted to one turn. It is in the data of the store that the component runs in; dropping it ends codex
/// and lets other turns into the workspace.
pub struct CodexCtx {
    pub(crate) config: Arc<Config>,
    pub(crate) grant: Arc<Grant>,
    pub(crate) workspace: PathBuf,
    /// The name of the conversation, if it has one.
    pub(crate) session_name: Option<String>,
    /// The conversation, which is this turn's alone.
    pub(crate) session: Arc<dyn Session>,
    /// What it holds, notices only until the component has asked for it; `None` outside of a turn. Nothing else changes it
    /// meanwhile.
    pub(crate) loaded: Option<Loaded>,
    /// The thread ids that may be kept; the one that the store held when the turn began may be
    /// resumed.
    pub(crate) threads: KnownThreads,
    pub(crate) program: Arc<PinnedProgram>,
    /// The search for the program, which has begun before the component asks for it.
    pub(crate) search: Option<Search>,
    pub(crate) record: TurnRecord,
    /// The codex processes that stay.
    pub(crate) servers: Arc<Pool>,
    /// How codex is started.
    pub(crate) spawner: Arc<dyn Spawner>,
    /// What the request hands over.
    pub(crate) handover: Handover,
    /// What bounds everything that the turn waits for.
    pub(crate) bounds: Bounds,
    pub(crate) meter: Meter,
    /// How long to wait while another process uses the conversation, and until when.
    pub(crate) next_back_off: Option<Duration>,
    pub(crate) busy_until: Option<Deadline>,
    pub(crate) table: ResourceTable,
    /// What the component has used up.
    pub(crate) budget: Budget,
    /// What codex has left.
    pub(crate) leftovers: Leftovers,
    /// One of the slots for turns (`limits.turns`). Each codex of the turn has it too, and is the last to let it go if the
    /// turn is dropped.
    pub(crate) turn_slot: Option<Arc<OwnedSemaphorePermit>>,
    /// Held while the turn runs: the engine's clock, and the first place in the workspace's queue.
    pub(crate) _ticking: Option<Ticking>,
    pub(crate) _foremost: Option<Foremost>,
    /// Whether the conversation is lost.
    pub(crate) watch: Option<Watch>,
    /// Whether the turn is over: codex is not started any more.
    pub(crate) is_closed: bool,
}

impl CodexCtx {
    /// Notes an event that the runtime passes on, for [`GrantedCodex::metrics`](crate::GrantedCodex::metrics) and the
    /// turn's span. If the [`Event::MessageEnd`] of a turn is not noted, they say that its caller went away.
    pub fn note(&self, event: &Event) {
        self.meter.event(event);
    }

    /// The clock has ticked while the component computed.
    pub(crate) fn tick(&mut self) -> Result<(), Exceeded> {
        let stop = &self.bounds.stop;
        self.budget
            .tick(stop.cause().is_some(), stop.is_abandoned())
    }
}

/// The session store did not answer before the turn had to end.
#[derive(Debug, thiserror::Error)]
#[error("the session store did not answer")]
pub struct NoAnswer(pub StopCause);
