//! Hosts of a fleet in this process: each with a codex home and a workspace of its own, over one store.

use std::time::Duration;

use anyhow::Result;
use plexum_openai_provider::fleet::store::FleetStore;
use plexum_openai_provider::fleet::{Fleet, FleetSettings};
use plexum_openai_provider::{Config, Event, Metrics, Provider, Request, Turn};
use tokio::runtime::Runtime;

use crate::agent::program_with_home;
use crate::codex_home::CodexHome;
use crate::mock_model::MockModel;
use crate::real_codex::RealCodex;
use crate::workspace::{Said, Workspace};

/// A host.
pub struct FleetHost {
    /// Codex's home there.
    pub home: CodexHome,
    /// The workspace there.
    pub workspace: Workspace,
    runtime: Runtime,
    provider: Provider,
}

impl FleetHost {
    /// The host of this name, with what is changed in the configuration and the settings.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(
        name: &str,
        codex: &RealCodex,
        model: &MockModel,
        store: impl FleetStore,
        change: impl FnOnce(&mut Config, &mut FleetSettings),
    ) -> Result<Self> {
        let home = CodexHome::new(&model.base_url())?;
        let workspace = Workspace::new(&codex.path)?;
        let mut config = Config {
            binary: Some(program_with_home(&workspace, &home, &codex.path, "")?),
            ..Config::default()
        };
        config.limits.grace_seconds = 1;
        let mut settings = FleetSettings::of(&config)?;
        settings.host = name.to_owned();
        settings.lease = Duration::from_secs(6);
        settings.codex_home = Some(home.path().to_owned());
        settings.locks = workspace.outside("locks");
        change(&mut config, &mut settings);
        let fleet = Fleet::new(store, settings, &config)?;
        Ok(FleetHost {
            home,
            workspace,
            // Turns go on while a test looks at them.
            runtime: Runtime::new()?,
            provider: Provider::new(config)?.with_session_store(fleet),
        })
    }

    /// Begins a turn of the conversation `agent`.
    #[must_use]
    pub fn begin(&self, prompt: &str) -> Turn {
        let _inside = self.runtime.enter();
        let mut request = Request::prompt(prompt);
        request.session = Some("agent".to_owned());
        self.provider.turn(self.workspace.path(), request)
    }

    /// The next event of a turn.
    pub fn event(&self, turn: &mut Turn) -> Option<Event> {
        self.runtime.block_on(turn.next())
    }

    /// The rest of a turn.
    pub fn rest(&self, turn: &mut Turn) -> Said {
        let events = std::iter::from_fn(|| self.event(turn)).collect();
        Said {
            events,
            code: None,
            stderr: String::new(),
        }
    }

    /// A whole turn.
    #[must_use]
    pub fn turn(&self, prompt: &str) -> Said {
        self.rest(&mut self.begin(prompt))
    }

    /// What was counted.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.provider.metrics()
    }

    /// Ends each codex that waits.
    pub fn close(&self) {
        self.runtime.block_on(self.provider.close());
    }
}
