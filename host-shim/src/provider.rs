//! The component, loaded once, and the turns that are made with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::{Engine, Store};

use crate::bindings::CodexProviderPre;
use crate::cache::Cache;
use crate::codex::Codex;
use crate::config::{Config, ConfigError};
use crate::ctx::CodexCtx;
use crate::embed;
use crate::guest_limits::MAX_STACK_BYTES;
use crate::metrics::Metrics;
use crate::record::Recorder;
use crate::request::Request;
use crate::session_store::SessionStore;
use crate::spawner::Spawner;
use crate::stop::stop;
use crate::ticker::{Ticker, Ticking};
use crate::turn::{self, Turn};

/// The component that this crate was built with.
pub const COMPONENT: &[u8] = &BYTES;

/// In one place, so that it can be told by its address.
static BYTES: [u8; include_bytes!(concat!(env!("OUT_DIR"), "/plugin.wasm")).len()] =
    *include_bytes!(concat!(env!("OUT_DIR"), "/plugin.wasm"));

/// Its SHA-256, in lower-case hexadecimal.
pub(crate) const COMPONENT_SHA256: &str = env!("COMPONENT_SHA256");

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

/// A loaded provider. Cheap to clone; make one a process.
#[derive(Clone)]
pub struct Provider {
    pre: CodexProviderPre<CodexCtx>,
    ticker: Arc<Ticker>,
    codex: Codex,
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
    /// nothing else: one that wants more is refused here, before it runs. Its machine code is kept in the user's
    /// [`Cache`].
    pub fn with_component(config: Config, bytes: &[u8]) -> Result<Self, LoadError> {
        Self::load(config, bytes, &Cache::of_user())
    }

    /// The same, with its machine code kept elsewhere, or nowhere.
    pub fn load(config: Config, bytes: &[u8], cache: &Cache) -> Result<Self, LoadError> {
        let codex = Codex::new(config, bytes)?;
        let engine = engine().map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&engine).map_err(|error| LoadError::Engine(error.into()))?;
        let component = cache
            .component(&engine, bytes, codex.component_sha256())
            .map_err(LoadError::Compile)?;
        let mut linker = Linker::new(&engine);
        embed::add_to_linker(&mut linker).map_err(LoadError::World)?;
        let pre = linker
            .instantiate_pre(&component)
            .and_then(CodexProviderPre::new)
            .map_err(LoadError::World)?;
        Ok(Provider {
            pre,
            ticker: Arc::new(ticker),
            codex,
        })
    }

    /// Keeps sessions elsewhere than in the workspaces.
    #[must_use]
    pub fn with_session_store(mut self, sessions: impl SessionStore) -> Self {
        self.codex = self.codex.with_session_store(sessions);
        self
    }

    /// Starts codex in another way than as a process of this machine.
    #[must_use]
    pub fn with_spawner(mut self, spawner: impl Spawner) -> Self {
        self.codex = self.codex.with_spawner(spawner);
        self
    }

    /// Keeps a record of what is decided about calls of codex, and of how they end.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.codex = self.codex.with_recorder(recorder);
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
        self.codex.component_sha256()
    }

    /// What the component says of itself. It can start no codex meanwhile, and reach no session.
    pub async fn describe(&self) -> wasmtime::Result<Description> {
        // One that is gone would mean that nobody wants the answer.
        let (_stopper, stop) = stop();
        let mut store = self.store(self.codex.without_turn(stop, Some(self.tick())));
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
        self.codex.metrics()
    }

    pub(crate) fn pre(&self) -> &CodexProviderPre<CodexCtx> {
        &self.pre
    }

    pub(crate) fn codex(&self) -> &Codex {
        &self.codex
    }

    /// Keeps the clock of the engine running.
    pub(crate) fn tick(&self) -> Ticking {
        self.ticker.tick()
    }

    /// A store for one turn. A trap or a dropped call leaves a store unusable, so none is
    /// used twice.
    pub(crate) fn store(&self, ctx: CodexCtx) -> Store<CodexCtx> {
        let mut store = Store::new(self.pre.engine(), ctx);
        embed::limit(&mut store);
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
