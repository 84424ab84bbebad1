//! `acp --login`: what an editor runs in a terminal when its user has to log in.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use plexum_openai_provider::Config;
use plexum_openai_provider::grant::program::resolve;

/// Becomes `codex login`, in this terminal and with this environment.
pub fn run(config: &Config) -> Result<ExitCode> {
    let search_path = std::env::var_os("PATH");
    let program = resolve(config.binary.as_deref(), search_path.as_deref())
        .context("there is no codex to log in with")?;
    let error = Command::new(&program).arg("login").exec();
    Err(error).with_context(|| format!("{} cannot be run", program.display()))
}
