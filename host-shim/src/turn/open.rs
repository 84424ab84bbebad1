//! Codex, as one configuration grants it to one component.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime::component::ResourceTable;

use crate::app_server::pool::Pool;
use crate::capability::CodexCtx;
use crate::capability::bindings::turns as wit;
use crate::capability::budget::Budget;
use crate::capability::handover::Handover;
use crate::capability::leftovers::Leftovers;
use crate::capability::to_wit::to_wit;
use crate::capability::watch::Watch;
use crate::codex::spawner::Spawner;
use crate::codex::stop::{Bounds, Stop, StopCause, Stopper, stop};
use crate::codex::supervised::Supervised;
use crate::codex::waiting;
use crate::config::guest_limits::GuestLimits;
use crate::config::{Config, Transport};
use crate::contract::event::{Event, FailureKind, StopReason};
use crate::contract::request::Request;
use crate::engine::builtin;
use crate::engine::load_error::LoadError;
use crate::engine::ticker::Ticking;
use crate::grant::Grant;
use crate::grant::known_threads::KnownThreads;
use crate::grant::program::PinnedProgram;
use crate::places::Places;
use crate::session::files::SessionFiles;
use crate::session::queue::Queue;
use crate::session::store::{
    Acquired, NoSession, SessionError, SessionErrorKind, SessionKey, SessionStore,
};
use crate::telemetry::metrics::{Counters, Meter, Metrics};
use crate::telemetry::record::{Recorder, TurnRecord};
use crate::turn::close::failure_of;

/// Codex, as an operator's configuration grants it to a component. Cheap to clone; make one per process.
///
/// [`Provider`](crate::Provider) has one inside. To run the component in your own wasmtime store, make one: see
/// [`embed`](crate::embed).
#[derive(Clone)]
pub struct GrantedCodex {
    config: Arc<Config>,
    grant: Arc<Grant>,
    sessions: Arc<dyn SessionStore>,
    spawner: Arc<dyn Spawner>,
    program: Arc<PinnedProgram>,
    component_sha256: Arc<str>,
    recorder: Option<Recorder>,
    counters: Counters,
    places: Places,
    turn_slots: Arc<Semaphore>,
    queue: Queue,
    servers: Arc<Pool>,
}

/// A turn that may begin.
pub struct OpenTurn {
    /// What it is granted, for the data of its store.
    pub ctx: CodexCtx,
    /// The request, for the component's `turn.start`.
    pub request: wit::Request,
    /// Ends the turn early. Dropping it does so too.
    pub stopper: TurnStopper,
}

/// Ends a turn early. Dropping it abandons the turn.
#[derive(Debug)]
pub struct TurnStopper(Stopper);

impl TurnStopper {
    /// Stops codex. The remaining events still come, and then an end with `aborted`.
    pub fn cancel(&self) {
        self.0.request(StopCause::Cancelled);
    }
}

impl GrantedCodex {
    /// Codex for this component, which the configuration must allow. Keeps sessions in the workspaces, and starts codex
    /// as a process on this machine.
    ///
    /// # Errors
    /// If the configuration is not valid, or pins another component.
    pub fn new(config: Config, component: &[u8]) -> Result<Self, LoadError> {
        config.check()?;
        let component_sha256 = builtin::digest_of(component);
        if let Some(pinned) = &config.component_sha256
            && !pinned.eq_ignore_ascii_case(&component_sha256)
        {
            return Err(LoadError::Digest {
                found: component_sha256,
                pinned: pinned.clone(),
            });
        }
        let places = Places::now(&config);
        if let Places {
            turns,
            limit: Some(limit),
        } = places
        {
            let wanted = config.limits.turns;
            tracing::warn!(
                "at most {turns} turns run at once, and not {wanted} (`limits.turns`), because this process may have no more than {limit}"
            );
        }
        let sessions = sessions_of(&config).map_err(LoadError::Sessions)?;
        let counters = Counters::default();
        Ok(GrantedCodex {
            grant: Arc::new(Grant::new(&config)),
            places,
            turn_slots: Arc::new(Semaphore::new(places.turns as usize)),
            servers: Arc::new(Pool::new(config.server, counters.clone())),
            config: Arc::new(config),
            sessions,
            spawner: Arc::new(Supervised),
            program: Arc::default(),
            component_sha256: component_sha256.into(),
            recorder: None,
            counters,
            queue: Queue::default(),
        })
    }

    /// Keeps sessions elsewhere than in the workspaces.
    #[must_use]
    pub fn with_session_store(mut self, sessions: impl SessionStore) -> Self {
        self.sessions = Arc::new(sessions);
        self
    }

    /// Starts codex in another way than as a process on this machine.
    #[must_use]
    pub fn with_spawner(mut self, spawner: impl Spawner) -> Self {
        self.spawner = Arc::new(spawner);
        self
    }

    /// Keeps a record of the decisions about calls of codex, and of how the calls end.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The operator's settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Ends each codex that waits for its next turn (`"transport": "app-server"`) and the supervisor that waits for one, and
    /// returns when nothing of them is left. From here on no codex waits.
    pub async fn close(&self) {
        waiting::end_all();
        self.servers.close().await;
        self.sessions.close().await;
    }

    /// Ends the codex that waits for the next turn of this conversation, if one does, and returns when nothing of it is
    /// left.
    pub async fn release(&self, conversation: &SessionKey) {
        self.servers.release(conversation).await;
    }

    /// The component's SHA-256, in lower-case hexadecimal.
    #[must_use]
    pub fn component_sha256(&self) -> &str {
        &self.component_sha256
    }

    /// The counters so far, for all clones together.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.counters.read();
        metrics.fleet = self.sessions.metrics();
        metrics
    }

    /// Waits until a turn may begin in `workspace`: no other one of its conversation runs, and fewer than `limits.turns`
    /// anywhere, or fewer if the limits of this process leave too little room for so many.
    ///
    /// # Errors
    /// The end of the turn, an [`Event::MessageEnd`].
    pub async fn open(
        &self,
        workspace: impl Into<PathBuf>,
        request: Request,
    ) -> Result<OpenTurn, Event> {
        let workspace = workspace.into();
        let meter = self.counters.turn(&workspace, request.model.as_deref());
        let (stopper, stop) = stop();
        let opened = self.prepare(workspace, request, self.bounds(stop), &meter, None);
        match opened.await {
            Ok((ctx, request)) => Ok(OpenTurn {
                ctx,
                request,
                stopper: TurnStopper(stopper),
            }),
            Err(end) => {
                meter.event(&end);
                Err(end)
            }
        }
    }

    /// What bounds a turn that begins now.
    pub(crate) fn bounds(&self, stop: Stop) -> Bounds {
        Bounds {
            stop,
            deadline: Instant::now() + self.config.limits.turn(),
        }
    }

    /// The configured grace period.
    pub(crate) fn grace(&self) -> Duration {
        self.config.limits.grace()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Waits for everything that a turn has to wait for, and grants it what it may do.
    ///
    /// # Errors
    /// The end of the turn.
    pub(crate) async fn prepare(
        &self,
        workspace: PathBuf,
        request: Request,
        mut bounds: Bounds,
        meter: &Meter,
        ticking: Option<Ticking>,
    ) -> Result<(CodexCtx, wit::Request), Event> {
        let failed = |kind, message| Event::failed(kind, StopReason::Error, message);
        let key = SessionKey::new(&workspace, request.session.clone());
        let pauses = Arc::clone(&bounds.stop.pauses);
        let mut busy = self.config.limits.busy();
        let line = self.sessions.line(&key);
        let foremost = pauses.within(&mut busy, self.queue.wait(&line));
        let foremost = bounds
            .within(foremost)
            .await
            .map_err(|cause| gave_up_waiting(cause, OF_THE_CONVERSATION))?
            .ok_or_else(|| self.busy(&key))?;
        // First come, first served. Before anything is opened: those that wait may be many more than this process may
        // have open files. And after the turns of the same conversation, which would take the places of others.
        let slot = match Arc::clone(&self.turn_slots).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => {
                foremost.set_held_up(true);
                let slot = bounds
                    .within(Arc::clone(&self.turn_slots).acquire_owned())
                    .await;
                foremost.set_held_up(false);
                let slot = slot.map_err(|cause| match cause {
                    StopCause::TurnTimeout => self.no_slot(),
                    cause => gave_up_waiting(cause, "other turns in this process"),
                })?;
                slot.map_err(|_| self.no_slot())?
            }
        };
        // Held until codex is gone, even if the turn is dropped. Codex itself does not refuse a second writer before
        // 0.150.
        let acquired = pauses.within(&mut busy, self.sessions.acquire(&key));
        let acquired = bounds
            .within(acquired)
            .await
            .map_err(|cause| gave_up_waiting(cause, OF_THE_CONVERSATION))?
            .ok_or_else(|| self.busy(&key))?;
        let Acquired { session, loaded } = match acquired {
            Ok(acquired) => acquired,
            Err(error) => {
                // Not asked in every turn: on a disk that does not answer, this may take forever.
                let is_folder = bounds.within(is_folder(workspace.clone())).await;
                if is_folder.map_err(|cause| gave_up_waiting(cause, "the file system"))? {
                    return Err(no_session(error));
                }
                let shown = workspace.display();
                // A session of an editor belongs to the folder itself, and not to another one in its place.
                let message = if key.session.is_some() {
                    format!(
                        "The workspace {shown} is not a folder: put it back if it was moved or renamed, and create it only if there never was one."
                    )
                } else {
                    format!(
                        "The workspace {shown} is not a folder: create it, or name another one."
                    )
                };
                return Err(failed(FailureKind::InvalidRequest, message));
            }
        };
        meter.runs();
        let handover = Handover::of(&request, self.config.instructions, &workspace);
        let handover = bounds
            .within(handover)
            .await
            .map_err(|cause| gave_up_waiting(cause, "its images to be copied"))?
            .map_err(|error| Event::end_with(StopReason::Error, error.failure()))?;
        let mut ctx = CodexCtx {
            watch: Watch::over(&session, &bounds.stop),
            record: self.record(&workspace),
            workspace,
            session_name: request.session.clone(),
            // The grant goes by what is stored now, not by what the component will store.
            threads: KnownThreads::new(loaded.entry.as_ref().map(|entry| entry.thread_id.clone())),
            session,
            loaded: Some(loaded),
            handover,
            turn_slot: Some(Arc::new(slot)),
            _foremost: Some(foremost),
            ..self.ctx(bounds, meter.clone(), ticking)
        };
        // While the component gets the request. Where codex stays, it is looked for along with all that must not have changed.
        if self.config.transport() == Transport::Exec {
            ctx.search = Some(ctx.search());
        }
        Ok((ctx, to_wit(request)))
    }

    /// For `describe`: the component can start nothing and save nothing.
    pub(crate) fn for_describe(&self, stop: Stop, ticking: Option<Ticking>) -> CodexCtx {
        // Not part of any turn, so its counters are not published.
        let meter = Counters::default().turn(Path::new(""), None);
        CodexCtx {
            budget: Budget::new(GuestLimits {
                spawns: 0,
                ..self.config.guest
            }),
            ..self.ctx(self.bounds(stop), meter, ticking)
        }
    }

    /// What all turns are granted.
    fn ctx(&self, bounds: Bounds, meter: Meter, ticking: Option<Ticking>) -> CodexCtx {
        CodexCtx {
            config: Arc::clone(&self.config),
            grant: Arc::clone(&self.grant),
            workspace: PathBuf::new(),
            session_name: None,
            session: Arc::new(NoSession),
            loaded: None,
            threads: KnownThreads::default(),
            program: Arc::clone(&self.program),
            search: None,
            servers: Arc::clone(&self.servers),
            record: self.record(Path::new("")),
            spawner: Arc::clone(&self.spawner),
            handover: Handover::default(),
            bounds,
            meter,
            next_back_off: None,
            busy_until: None,
            table: ResourceTable::new(),
            budget: Budget::new(self.config.guest),
            leftovers: Leftovers::default(),
            _ticking: ticking,
            turn_slot: None,
            _foremost: None,
            watch: None,
            is_closed: false,
        }
    }

    fn record(&self, workspace: &Path) -> TurnRecord {
        let component = Arc::clone(&self.component_sha256);
        TurnRecord::new(self.recorder.clone(), component, workspace)
    }

    fn busy(&self, key: &SessionKey) -> Event {
        let seconds = self.config.limits.busy_seconds;
        let line = self.sessions.line(key);
        let message = if self.queue.is_held_up(&line) {
            let (turns, remedy) = (self.places.turns, self.places.remedy());
            let of = if line == *key {
                "of this conversation"
            } else {
                "in this folder"
            };
            format!(
                "An earlier turn {of} has been waiting for more than {seconds} s, because {turns} turns are running elsewhere. Run fewer turns at once, or {remedy}."
            )
        } else if let Some(holder) = self.sessions.holder(key) {
            format!(
                "The turn has waited for its conversation for more than {seconds} s: {holder}. Try again later, or raise `limits.busy_seconds` in config.json."
            )
        } else {
            format!(
                "Another turn of this conversation has been running for more than {seconds} s. Wait for it to end, or raise `limits.busy_seconds` in config.json."
            )
        };
        Event::failed_for_now(FailureKind::SessionBusy, StopReason::Error, message)
    }

    fn no_slot(&self) -> Event {
        let (turns, remedy) = (self.places.turns, self.places.remedy());
        Event::failed_for_now(
            FailureKind::TurnTimeout,
            StopReason::Error,
            format!(
                "The turn waited until its time was over, because {turns} other turns were running. Run fewer turns at once, or {remedy}."
            ),
        )
    }
}

/// The store of conversations that the configuration names.
fn sessions_of(config: &Config) -> Result<Arc<dyn SessionStore>, SessionError> {
    if config.sessions.postgres.is_none() {
        return Ok(Arc::new(SessionFiles::default()));
    }
    #[cfg(feature = "postgres")]
    if let Some(fleet) = crate::fleet::fleet_of(config)? {
        return Ok(Arc::new(fleet));
    }
    Err(SessionError::new(
        SessionErrorKind::Denied,
        "`sessions.postgres` is set, and this program was built without the feature `postgres`",
    ))
}

/// The end of a turn whose session cannot be locked or loaded.
fn no_session(error: SessionError) -> Event {
    let (kind, retryable) = failure_of(error.kind);
    let message = format!(
        "The session cannot be used: {}.",
        error.message.trim_end_matches('.')
    );
    if retryable {
        Event::failed_for_now(kind, StopReason::Error, message)
    } else {
        Event::failed(kind, StopReason::Error, message)
    }
}

/// What a turn waits for that is not the foremost of its conversation, or not on this machine.
const OF_THE_CONVERSATION: &str = "another turn of this conversation";

/// The end of a turn that had to end before it could begin.
fn gave_up_waiting(cause: StopCause, what: &str) -> Event {
    match cause {
        StopCause::TurnTimeout => {
            let message = format!(
                "The turn took longer than allowed (`limits.turn_seconds` in config.json): it spent all of that time waiting for {what}."
            );
            Event::failed_for_now(FailureKind::TurnTimeout, StopReason::Error, message)
        }
        _ => {
            let message = format!("The turn was stopped while it waited for {what}.");
            Event::failed_for_now(FailureKind::Killed, StopReason::Aborted, message)
        }
    }
}

/// Whether this is a folder. On a disk that does not answer, this may take forever.
async fn is_folder(path: PathBuf) -> bool {
    // A task that cannot be run has found no folder.
    let found = tokio::task::spawn_blocking(move || path.is_dir()).await;
    found.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

    use super::*;
    use crate::capability::bindings::session::Host as _;
    use crate::session::store::{Session, SessionEntry, StoreFuture};

    /// Saves when the test lets it.
    #[derive(Clone, Default)]
    struct Slow {
        lock: Arc<AsyncMutex<()>>,
        begun: Arc<Notify>,
        go_on: Arc<Notify>,
        saved: Arc<Mutex<Option<SessionEntry>>>,
    }

    struct Locked {
        store: Slow,
        _lock: OwnedMutexGuard<()>,
    }

    impl SessionStore for Slow {
        fn acquire<'a>(&'a self, _: &'a SessionKey) -> StoreFuture<'a, Acquired> {
            Box::pin(async {
                let _lock = Arc::clone(&self.lock).lock_owned().await;
                let store = self.clone();
                Ok(Acquired::new(Locked { store, _lock }, Some(entry())))
            })
        }
    }

    impl Session for Locked {
        fn save(&self, entry: SessionEntry) -> StoreFuture<'_, Vec<String>> {
            Box::pin(async {
                self.store.begun.notify_one();
                self.store.go_on.notified().await;
                *self.store.saved.lock().unwrap() = Some(entry);
                Ok(Vec::new())
            })
        }

        fn set_aside(&self) -> StoreFuture<'_, ()> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn entry() -> SessionEntry {
        SessionEntry::new("01a20000-0000-7000-8000-000000000001")
    }

    #[tokio::test]
    async fn a_turn_that_is_dropped_while_it_saves_keeps_others_out_until_that_is_done() {
        let workspace = tempfile::tempdir().unwrap();
        let store = Slow::default();
        let codex = GrantedCodex::new(Config::default(), b"")
            .unwrap()
            .with_session_store(store.clone());
        let request = Request::prompt("hello");
        let mut turn = codex.open(workspace.path(), request).await.unwrap();
        {
            let save = turn.ctx.save(entry().into());
            tokio::select! {
                saved = save => panic!("{saved:?}"),
                () = store.begun.notified() => {}
            }
        }
        drop(turn);
        assert!(store.lock.try_lock().is_err(), "another turn would begin");
        store.go_on.notify_one();
        let _next = store.lock.lock().await;
        assert_eq!(*store.saved.lock().unwrap(), Some(entry()));
    }
}
