//! The component, loaded once, and the turns that it runs.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::codex::spawner::Spawner;
use crate::codex::stop::stop;
use crate::config::Config;
use crate::contract::description::Description;
use crate::contract::request::Request;
use crate::engine::builtin::COMPONENT;
use crate::engine::cache::Cache;
use crate::engine::load_error::LoadError;
use crate::session::store::{SessionKey, SessionStore};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::record::Recorder;
use crate::turn::loaded::Loaded;
use crate::turn::{self, Turn};

/// A loaded provider. Cheap to clone; make one per process.
#[derive(Clone)]
pub struct Provider {
    loaded: Loaded,
}

/// Far more than any component has.
const MAX_COMPONENT_BYTES: u64 = 256 * 1024 * 1024;

/// The bytes of a component's file. What has no end, or never answers, is no such file.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_COMPONENT_BYTES {
        let most = MAX_COMPONENT_BYTES >> 20;
        return Err(io::Error::other(format!("it is larger than {most} MiB")));
    }
    Ok(bytes)
}

impl Provider {
    /// Loads the component that this crate was built with.
    pub fn new(config: Config) -> Result<Self, LoadError> {
        Self::with_component(config, COMPONENT)
    }

    /// Loads a component from a file.
    pub fn from_file(config: Config, path: &Path) -> Result<Self, LoadError> {
        Self::load_file(config, path, &Cache::of_user())
    }

    /// The same, with its machine code kept elsewhere, or nowhere.
    pub fn load_file(config: Config, path: &Path, cache: &Cache) -> Result<Self, LoadError> {
        let bytes = read(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::load(config, &bytes, cache)
    }

    /// Loads a component from its bytes. It gets the imports of the world `codex-provider` and
    /// nothing else: one that asks for more is refused here, before it runs. Its machine code is kept in the user's
    /// [`Cache`], unless the configuration pins the component.
    pub fn with_component(config: Config, bytes: &[u8]) -> Result<Self, LoadError> {
        Self::load(config, bytes, &Cache::of_user())
    }

    /// The same, with its machine code kept elsewhere, or nowhere.
    pub fn load(config: Config, bytes: &[u8], cache: &Cache) -> Result<Self, LoadError> {
        Ok(Provider {
            loaded: Loaded::new(config, bytes, cache)?,
        })
    }

    /// Keeps sessions in this store instead of in the workspaces.
    #[must_use]
    pub fn with_session_store(mut self, sessions: impl SessionStore) -> Self {
        self.loaded.codex = self.loaded.codex.with_session_store(sessions);
        self
    }

    /// Starts codex with this spawner instead of as a process on this machine.
    #[must_use]
    pub fn with_spawner(mut self, spawner: impl Spawner) -> Self {
        self.loaded.codex = self.loaded.codex.with_spawner(spawner);
        self
    }

    /// Records the decisions about calls of codex, and how the calls end.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.loaded.codex = self.loaded.codex.with_recorder(recorder);
        self
    }

    /// Begins a turn in `workspace`, which becomes codex's working folder. Must be called
    /// within a tokio runtime. The turn runs at the pace at which its events are taken, and
    /// stops when it is dropped.
    #[must_use]
    pub fn turn(&self, workspace: impl Into<PathBuf>, request: Request) -> Turn {
        turn::begin(self.loaded.clone(), workspace.into(), request)
    }

    /// The operator's settings, under which it was loaded.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.loaded.codex.config()
    }

    /// Ends each codex that waits for its next turn (`"transport": "app-server"`) and the supervisor that waits for one, and
    /// returns when nothing of them is left.
    /// From here on none waits, and turns still run. Without this they end too when all clones of this provider are dropped
    /// or the process ends, but nobody waits for that.
    pub async fn close(&self) {
        self.loaded.codex.close().await;
    }

    /// Ends the codex that waits for the next turn of this conversation (`"transport": "app-server"`), if one does, and
    /// returns when nothing of it is left. The conversation can still be gone on with.
    pub async fn release(&self, conversation: &SessionKey) {
        self.loaded.codex.release(conversation).await;
    }

    /// The component's SHA-256, in lower-case hexadecimal.
    #[must_use]
    pub fn component_sha256(&self) -> &str {
        self.loaded.codex.component_sha256()
    }

    /// How the component describes itself. Meanwhile it cannot start codex or reach a session.
    pub async fn describe(&self) -> wasmtime::Result<Description> {
        // A dropped stopper would mean that the answer is no longer wanted.
        let (_stopper, stop) = stop();
        let ctx = self
            .loaded
            .codex
            .for_describe(stop, Some(self.loaded.tick()));
        let mut store = self.loaded.store(ctx);
        let world = self.loaded.pre.instantiate_async(&mut store).await?;
        let turns = world.plexum_provider_turns();
        Ok(turns.call_describe(&mut store).await?.into())
    }

    /// What has happened since this provider was loaded, all its clones together.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.loaded.codex.metrics()
    }
}
