//! The options of every command that runs turns: which provider, and under which configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use plexum_openai_provider::config::{RecordRule, Sandbox, default_path};
use plexum_openai_provider::grant::permission::ways_to_change;
use plexum_openai_provider::grant::program::resolve;
use plexum_openai_provider::{COMPONENT, Cache, Config, Provider, Recorder, Transport};

use super::harmless::harmless;

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
    /// Run although everybody on this machine may change the configuration, or the codex program
    #[arg(long)]
    allow_writable: bool,
}

impl ProviderArgs {
    /// The configuration. Whoever has it runs its codex: not if every user of this machine could decide what that is.
    pub fn configuration(&self) -> Result<Config> {
        let config = super::config(self.config.as_deref())?;
        self.check_who_may_change(&config)?;
        Ok(config)
    }

    /// Loads the provider; for the turns of one workspace, if there is only that.
    pub fn provider(&self, workspace: Option<&Path>) -> Result<Provider> {
        self.load(self.configuration()?, workspace)
    }

    /// Loads the provider, with this transport unless the configuration states one, or states arguments that only the
    /// other one takes.
    pub fn provider_over(&self, transport: Transport) -> Result<Provider> {
        let mut config = self.configuration()?;
        if config.transport.is_none() {
            config.transport = Some(transport);
            if let Err(error) = config.check() {
                tracing::warn!(%error, "app-server does not take these arguments, so `exec` is used, and answers come in one piece");
                config.transport = None;
            }
        }
        self.load(config, None)
    }

    fn load(&self, config: Config, workspace: Option<&Path>) -> Result<Provider> {
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

    /// Everybody who may change the configuration or the program decides what runs here, as this user. Where that is
    /// every user of the machine, nothing runs. Where it is a group or one other user, the operator may have meant it,
    /// and is told each time.
    fn check_who_may_change(&self, config: &Config) -> Result<()> {
        let file = self.config.clone().or_else(default_path);
        let search_path = std::env::var_os("PATH");
        let program = resolve(config.binary.as_deref(), search_path.as_deref());
        let mut refused = Vec::new();
        for path in file.into_iter().chain(program.ok()) {
            // What is not there, or cannot be looked at, is told where it is used.
            for way in ways_to_change(&path).unwrap_or_default() {
                if way.everybody && !self.allow_writable {
                    refused.push(way.warning);
                } else {
                    eprintln!("warning: {}", harmless(&way.warning));
                }
            }
        }
        refused.dedup();
        if refused.is_empty() {
            return Ok(());
        }
        bail!(
            "every user of this machine could decide what is run here:\n{}\nor allow it with --allow-writable",
            refused.join("\n")
        );
    }
}
