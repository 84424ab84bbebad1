//! The component, loaded once, and the turns that are made with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::bindings::{CodexProvider, CodexProviderPre};
use crate::budget::Budget;
use crate::config::{Config, ConfigError};
use crate::digest;
use crate::grant::Grant;
use crate::guest_limits::{GuestLimits, MAX_CALL_BYTES, MAX_HANDLES, MAX_STACK_BYTES};
use crate::host::Host;
use crate::image::StagedImages;
use crate::metrics::{Board, Meter, Metrics};
use crate::program::PinnedProgram;
use crate::record::Recorder;
use crate::request::Request;
use crate::session_file::SessionFiles;
use crate::session_store::{NoSession, SessionGuard, SessionStore};
use crate::spawner::Spawner;
use crate::stop::Stop;
use crate::supervised::Supervised;
use crate::thread_id::KnownThreads;
use crate::ticker::Ticker;
use crate::turn::{self, Turn};

/// The component that this crate was built with.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.wasm"));

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration asks for what cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be read.
    #[error("the component {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is another component than the configuration allows.
    #[error(
        "the component has the SHA-256 {found}, and `component_sha256` in the configuration allows only {pinned}: audit the component, and change the line if it is the one you want"
    )]
    Digest {
        /// That of the component.
        found: String,
        /// The one that is allowed.
        pinned: String,
    },
    /// The engine or its clock cannot be started.
    #[error("the engine that runs the component cannot be started: {0:#}")]
    Engine(wasmtime::Error),
    /// These bytes are no component, or the engine cannot compile them.
    #[error("this is not a component that can be run: {0:#}")]
    Compile(wasmtime::Error),
    /// The component asks for more than this host gives, or is not a provider.
    #[error(
        "the component does not fit the world `plexum:provider/codex-provider@0.1.0`, and nothing beyond that world is granted: {0:#}; `plexum-openai-provider audit` shows what it asks for, and a component built for this world asks for no more"
    )]
    World(wasmtime::Error),
}

/// The provider's own words about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The id that a runtime's allow-list names.
    pub id: String,
    /// The component's version.
    pub version: String,
    /// The models on offer, the default one first.
    pub models: Vec<String>,
}

/// What one turn is granted, besides what all are.
pub(crate) struct TurnGrant {
    pub workspace: PathBuf,
    /// What keeps other turns out of the workspace.
    pub guard: Option<Arc<dyn SessionGuard>>,
    /// The thread that the session store holds.
    pub stored: Option<String>,
    pub images: StagedImages,
    pub stop: Stop,
    /// When the turn must be over.
    pub deadline: Instant,
    pub meter: Meter,
}

/// A loaded provider. Cheap to clone; make one a process.
#[derive(Clone)]
pub struct Provider {
    pre: CodexProviderPre<Host>,
    ticker: Arc<Ticker>,
    config: Arc<Config>,
    grant: Arc<Grant>,
    sessions: Arc<dyn SessionStore>,
    spawner: Arc<dyn Spawner>,
    program: Arc<PinnedProgram>,
    component_sha256: Arc<str>,
    recorder: Option<Recorder>,
    board: Board,
    places: Arc<Semaphore>,
}

impl Provider {
    /// Loads the component that this crate was built with.
    pub fn new(config: Config) -> Result<Self, LoadError> {
        Self::with_component(config, COMPONENT)
    }

    /// Loads a component from a file.
    pub fn from_file(config: Config, path: &Path) -> Result<Self, LoadError> {
        let bytes = std::fs::read(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::with_component(config, &bytes)
    }

    /// Loads a component from its bytes. It gets the imports of the world `codex-provider` and
    /// nothing else: one that wants more is refused here, before it runs.
    pub fn with_component(config: Config, bytes: &[u8]) -> Result<Self, LoadError> {
        config.check()?;
        let component_sha256 = digest::sha256(bytes);
        if let Some(pinned) = &config.component_sha256
            && !pinned.eq_ignore_ascii_case(&component_sha256)
        {
            return Err(LoadError::Digest {
                found: component_sha256,
                pinned: pinned.clone(),
            });
        }
        let engine = engine().map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&engine).map_err(|error| LoadError::Engine(error.into()))?;
        let component = Component::from_binary(&engine, bytes).map_err(LoadError::Compile)?;
        let mut linker = Linker::new(&engine);
        CodexProvider::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)
            .map_err(LoadError::World)?;
        let pre = linker
            .instantiate_pre(&component)
            .and_then(CodexProviderPre::new)
            .map_err(LoadError::World)?;
        let grant = Arc::new(Grant::new(&config));
        let places = Arc::new(Semaphore::new(config.limits.turns as usize));
        Ok(Provider {
            pre,
            ticker: Arc::new(ticker),
            config: Arc::new(config),
            grant,
            sessions: Arc::new(SessionFiles::default()),
            spawner: Arc::new(Supervised),
            program: Arc::default(),
            component_sha256: component_sha256.into(),
            recorder: None,
            board: Board::default(),
            places,
        })
    }

    /// Keeps sessions elsewhere than in the workspaces.
    #[must_use]
    pub fn with_session_store(mut self, sessions: impl SessionStore) -> Self {
        self.sessions = Arc::new(sessions);
        self
    }

    /// Starts codex in another way than as a process of this machine.
    #[must_use]
    pub fn with_spawner(mut self, spawner: impl Spawner) -> Self {
        self.spawner = Arc::new(spawner);
        self
    }

    /// Keeps a record of what is decided about calls of codex, and of how they end.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Begins a turn in `workspace`, which becomes codex's working folder. Must be called
    /// within a tokio runtime. The turn runs at the pace at which its events are taken, and
    /// stops when it is dropped.
    #[must_use]
    pub fn turn(&self, workspace: impl Into<PathBuf>, request: Request) -> Turn {
        turn::begin(self.clone(), workspace.into(), request)
    }

    /// The component's SHA-256, in lower-case hexadecimal.
    #[must_use]
    pub fn component_sha256(&self) -> &str {
        &self.component_sha256
    }

    /// What the component says of itself. It can start no codex meanwhile, and reach no session.
    pub async fn describe(&self) -> wasmtime::Result<Description> {
        let (_stopper, stop) = crate::stop::stop();
        let mut store = self.store(TurnGrant {
            workspace: PathBuf::new(),
            guard: None,
            stored: None,
            images: StagedImages::default(),
            stop,
            deadline: Instant::now() + self.config.limits.turn(),
            // Of no turn, and so of no board that anybody reads.
            meter: Board::default().turn(Path::new(""), None),
        });
        let host = store.data_mut();
        host.sessions = Arc::new(NoSession);
        host.budget = Budget::new(GuestLimits {
            spawns: 0,
            ..self.config.guest
        });
        let world = self.pre.instantiate_async(&mut store).await?;
        let description = world
            .plexum_provider_provider()
            .call_describe(&mut store)
            .await?;
        let models = description.models.into_iter().map(|model| model.id);
        Ok(Description {
            id: description.id,
            version: description.version,
            models: models.collect(),
        })
    }

    /// What has happened since this provider was loaded, all its clones together.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.board.read()
    }

    pub(crate) fn metrics_board(&self) -> &Board {
        &self.board
    }

    /// The places for turns that run.
    pub(crate) fn places(&self) -> &Semaphore {
        &self.places
    }

    pub(crate) fn pre(&self) -> &CodexProviderPre<Host> {
        &self.pre
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn sessions(&self) -> &Arc<dyn SessionStore> {
        &self.sessions
    }

    /// A store for one turn. A trap or a dropped call leaves a store unusable, so none is
    /// used twice.
    pub(crate) fn store(&self, turn: TurnGrant) -> Store<Host> {
        let host = Host {
            config: Arc::clone(&self.config),
            grant: Arc::clone(&self.grant),
            sessions: Arc::clone(&self.sessions),
            workspace: turn.workspace,
            threads: KnownThreads::new(turn.stored),
            program: Arc::clone(&self.program),
            component_sha256: Arc::clone(&self.component_sha256),
            recorder: self.recorder.clone(),
            guard: turn.guard,
            spawner: Arc::clone(&self.spawner),
            images: turn.images,
            stop: turn.stop,
            turn_deadline: turn.deadline,
            meter: turn.meter,
            next_back_off: None,
            busy_deadline: None,
            table: ResourceTable::new(),
            budget: Budget::new(self.config.guest),
            _ticking: self.ticker.tick(),
        };
        let mut store = Store::new(self.pre.engine(), host);
        store.limiter(|host| &mut host.budget);
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().tick()?;
            // The runtime's own yield lets it look at its sockets and timers too.
            let others = Box::pin(tokio::task::yield_now());
            Ok(UpdateDeadline::YieldCustom(1, others))
        });
        store
    }
}

/// An engine whose code can be interrupted.
fn engine() -> wasmtime::Result<Engine> {
    let mut config = wasmtime::Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(MAX_STACK_BYTES);
    Engine::new(&config)
}
