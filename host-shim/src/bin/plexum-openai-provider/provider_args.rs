//! The options of every command that runs turns: which provider, and under which configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use plexum_openai_provider::config::{RecordRule, Sandbox};
use plexum_openai_provider::{COMPONENT, Cache, Provider, Recorder};

/// The provider to load.
#[derive(Args)]
pub struct ProviderArgs {
    /// The configuration [default: ~/.plexum/plugins/plexum-openai-provider/config.json, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The component to run instead of the one built in
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Append a line of JSON for every call of codex that is allowed or refused, and for its end
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl ProviderArgs {
    /// Loads the provider; for the turns of one workspace, if there is only that.
    pub fn provider(&self, workspace: Option<&Path>) -> Result<Provider> {
        let config = super::config(self.config.as_deref())?;
        if config.record == RecordRule::Required && self.record.is_none() {
            bail!(
                "the configuration requires a record (`record`): name its file with --record FILE"
            );
        }
        let cache = match workspace {
            Some(workspace) if config.sandbox != Sandbox::DangerFullAccess => {
                Cache::of_user().outside(workspace)
            }
            _ => Cache::of_user(),
        };
        let mut provider = match &self.component {
            Some(path) => Provider::load_file(config, path, &cache),
            None => Provider::load(config, COMPONENT, &cache),
        }?;
        if let Some(path) = &self.record {
            let recorder = Recorder::append_to(path)
                .with_context(|| format!("the record {} cannot be kept", path.display()))?;
            provider = provider.with_recorder(recorder);
        }
        Ok(provider)
    }
}
