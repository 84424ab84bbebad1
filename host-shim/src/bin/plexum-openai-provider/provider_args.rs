//! The options of every command that runs turns: which provider, and under which configuration.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use plexum_openai_provider::config::RecordRule;
use plexum_openai_provider::{Provider, Recorder};

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
    /// Loads the provider.
    pub fn provider(&self) -> Result<Provider> {
        let config = super::config(self.config.as_deref())?;
        if config.record == RecordRule::Required && self.record.is_none() {
            bail!(
                "the configuration requires a record (`record`): name its file with --record FILE"
            );
        }
        let mut provider = match &self.component {
            Some(path) => Provider::from_file(config, path),
            None => Provider::new(config),
        }?;
        if let Some(path) = &self.record {
            let recorder = Recorder::append_to(path)
                .with_context(|| format!("the record {} cannot be kept", path.display()))?;
            provider = provider.with_recorder(recorder);
        }
        Ok(provider)
    }
}
