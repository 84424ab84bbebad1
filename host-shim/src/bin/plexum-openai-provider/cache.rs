//! `cache`: the component's machine code.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use plexum_openai_provider::{COMPONENT, Cache, Config, Provider};

use super::audit::print;

/// Compile the built-in component now, so that later starts are faster, and print the cache folder.
#[derive(Args)]
#[command(after_help = "\
It is kept only where no sandboxed tool could replace it: not below /tmp, for example.

Exit codes: 0 done, or nothing is kept; 2 there is no cache folder, or it cannot be cleared.")]
pub struct CacheCommand {
    /// Remove the stored machine code instead
    #[arg(long)]
    clear: bool,
}

impl CacheCommand {
    pub fn run(self) -> Result<ExitCode> {
        let cache = Cache::of_user();
        for (folder, why) in cache.unsafe_folders() {
            print(&format!("{} is not used: {why}", folder.display()))?;
        }
        let Some(folder) = cache.folder() else {
            if cache.unsafe_folders().is_empty() {
                bail!(
                    "neither XDG_CACHE_HOME nor HOME is an absolute path, so there is no cache folder: set one of them"
                );
            }
            if self.clear {
                cache.clear().context("the cache cannot be cleared")?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        if self.clear {
            cache
                .clear()
                .with_context(|| format!("{} cannot be cleared", folder.display()))?;
        } else {
            // The machine code does not depend on the configuration.
            Provider::load(Config::default(), COMPONENT, &cache)?;
        }
        print(&folder.display().to_string())?;
        Ok(ExitCode::SUCCESS)
    }
}
