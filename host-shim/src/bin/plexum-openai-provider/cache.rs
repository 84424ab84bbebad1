//! `cache`: the component's machine code.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use plexum_openai_provider::{COMPONENT, Cache, Config, Provider};

use super::audit::print;

/// Compile the component that is built in now, so that later starts need not; print the folder that keeps it.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 done, 2 there is no folder to keep it in, or it cannot be cleared.")]
pub struct CacheCommand {
    /// Remove what is kept instead
    #[arg(long)]
    clear: bool,
}

impl CacheCommand {
    pub fn run(self) -> Result<ExitCode> {
        let cache = Cache::of_user();
        let folder = cache.folder().context(
            "neither XDG_CACHE_HOME nor HOME names an absolute path, so nothing is kept",
        )?;
        if self.clear {
            cache
                .clear()
                .with_context(|| format!("{} cannot be cleared", folder.display()))?;
        } else {
            // What is kept does not depend on the configuration.
            Provider::load(Config::default(), COMPONENT, &cache)?;
        }
        print(&folder.display().to_string())?;
        Ok(ExitCode::SUCCESS)
    }
}
