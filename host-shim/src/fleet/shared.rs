//! What all conversations of a process share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::codex_here::CodexHere;
use super::prefixes::Prefixes;
use super::settings::FleetSettings;
use super::store::{FleetStore, Holder};
use crate::session::store::{SessionError, SessionKey};
use crate::telemetry::fleet::FleetMeter;

/// What all conversations of this process share.
pub struct Shared {
    pub store: Arc<dyn FleetStore>,
    pub settings: FleetSettings,
    pub codex: CodexHere,
    pub prefixes: Prefixes,
    pub meter: FleetMeter,
    /// What the turns that wait here wait for.
    waits: Mutex<HashMap<String, Wait>>,
    /// How many conversations are kept now.
    kept: watch::Sender<usize>,
}

impl Shared {
    /// Of a host that keeps nothing yet.
    pub fn new(store: impl FleetStore, settings: FleetSettings, codex: CodexHere) -> Self {
        Shared {
            store: Arc::new(store),
            settings,
            codex,
            prefixes: Prefixes::default(),
            meter: FleetMeter::default(),
            waits: Mutex::default(),
            kept: watch::Sender::default(),
        }
    }

    /// Where codex keeps its records on this host.
    pub fn codex_home(&self, key: &SessionKey) -> Result<PathBuf, SessionError> {
        match &self.settings.codex_home {
            Some(home) => Ok(home.clone()),
            None => self.codex.home(&key.workspace),
        }
    }

    /// Waits until none is kept.
    pub fn none_kept(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut kept = self.kept.subscribe();
        async move {
            // An error means that all of this is gone, and so is each that was kept.
            let _none = kept.wait_for(|kept| *kept == 0).await;
        }
    }

    /// What the turns that wait here wait for, by the name of the conversation.
    pub fn waits(&self) -> MutexGuard<'_, HashMap<String, Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a turn waits for.
pub enum Wait {
    /// Another host.
    Holder(Holder),
    /// Codex's record of the conversation.
    Record,
}

/// A conversation that is kept, for those who wait until none is.
pub struct Kept(Arc<Shared>);

impl Kept {
    pub fn new(shared: &Arc<Shared>) -> Self {
        shared.kept.send_modify(|kept| *kept += 1);
        Kept(Arc::clone(shared))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.kept.send_modify(|kept| *kept -= 1);
    }
}
