//! `manifest`: the `plugin.json` of a component.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use plexum_openai_provider::Config;
use plexum_openai_provider::audit::{Audit, Manifest, ManifestError};

use super::audit::{DIFFERENT, NOT_THIS_WORLD, examined, print};

/// Print the manifest of a component, its plugin.json, without running it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider manifest
  plexum-openai-provider manifest new.wasm > plugin.json

Exit codes: 0 printed, 1 the component wants more than the grant, 2 it cannot be read, 3 it is not a component
of this world.")]
pub struct ManifestCommand {
    /// The component [default: the one built in]
    #[arg(value_name = "COMPONENT")]
    component: Option<PathBuf>,
}

/// The manifest of these bytes, as text.
pub fn text(component: &[u8]) -> Result<String> {
    let audit = Audit::of(component, &Config::default())?;
    Ok(serde_json::to_string_pretty(&Manifest::of(&audit)?)?)
}

impl ManifestCommand {
    pub fn run(self) -> Result<ExitCode> {
        // A pin in the configuration is not a property of the component.
        let audit = match examined(self.component.as_deref(), &Config::default())? {
            Ok(audit) => audit,
            Err(code) => return Ok(ExitCode::from(code)),
        };
        match Manifest::of(&audit) {
            Ok(manifest) => {
                print(&serde_json::to_string_pretty(&manifest)?)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                let name = match &self.component {
                    Some(path) => path.display().to_string(),
                    None => "the built-in component".to_owned(),
                };
                eprintln!("error: there is no manifest for {name}: {error}");
                Ok(ExitCode::from(match error {
                    ManifestError::NotThisWorld { .. } => NOT_THIS_WORLD,
                    _ => DIFFERENT,
                }))
            }
        }
    }
}
