//! `schema`: the JSON Schema of the configuration.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use plexum_openai_provider::config;

use super::audit::print;

/// Print the JSON Schema of config.json, for editors and for checks.
#[derive(Args)]
#[command(after_help = "\
Example:
  plexum-openai-provider schema > ~/.plexum/plugins/plexum-openai-provider/config.schema.json

and as the first line of config.json: \"$schema\": \"config.schema.json\",")]
pub struct SchemaCommand {}

impl SchemaCommand {
    pub fn run(self) -> Result<ExitCode> {
        print(&serde_json::to_string_pretty(&config::schema())?)?;
        Ok(ExitCode::SUCCESS)
    }
}
