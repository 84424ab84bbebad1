//! `component`: the built-in component as a file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use plexum_openai_provider::COMPONENT;

/// Write the built-in component to a file, to install it or to inspect it.
#[derive(Args)]
#[command(after_help = "\
Example:
  plexum-openai-provider component plugin.wasm

Exit codes: 0 written, 2 the file cannot be written.")]
pub struct ComponentCommand {
    /// The file; an existing file is replaced
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl ComponentCommand {
    pub fn run(self) -> Result<ExitCode> {
        std::fs::write(&self.file, COMPONENT).with_context(|| {
            format!("the component cannot be written to {}", self.file.display())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
