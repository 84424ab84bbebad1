//! `models`: what a runtime may ask for.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use plexum_openai_provider::Provider;
use serde::Serialize;

use super::audit::print;
use plexum_openai_provider::audit::{escaped, quoted};

/// Show the models on offer, the default one first, and the arguments that codex gets for each.
///
/// The component is asked for its models, as a runtime asks it; codex is not started.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 done, 2 the configuration or the component cannot be used.")]
pub struct Models {
    /// The configuration [default: ~/.plexum/plugins/plexum-openai-provider/config.json, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON: the provider's id and version, and its models
    #[arg(long)]
    json: bool,
}

/// The models on offer.
#[derive(Serialize)]
struct Offer {
    id: String,
    version: String,
    models: Vec<Model>,
}

/// A model on offer.
#[derive(Serialize)]
struct Model {
    id: String,
    default: bool,
    args: Vec<String>,
}

impl Models {
    pub fn run(self) -> Result<ExitCode> {
        let config = super::config(self.config.as_deref())?;
        let provider = Provider::new(config.clone())?;
        let description = super::runtime()?
            .block_on(provider.describe())
            .map_err(|error| anyhow!("the component cannot list its models: {error:#}"))?;
        let models = description.models.into_iter().enumerate();
        let models = models.map(|(position, id)| Model {
            default: position == 0,
            args: config.args_of(&id),
            id,
        });
        let offer = Offer {
            id: description.id,
            version: description.version,
            models: models.collect(),
        };
        print(&if self.json {
            serde_json::to_string_pretty(&offer)?
        } else {
            text(&offer)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(offer: &Offer) -> String {
    let names = offer
        .models
        .iter()
        .map(|model| escaped(&model.id).chars().count());
    let width = names.max().unwrap_or(0);
    let lines = offer.models.iter().map(|model| {
        let default = if model.default { "default" } else { "" };
        let args: Vec<_> = model.args.iter().map(|arg| escaped(&quoted(arg))).collect();
        let args = match args.join(" ") {
            args if args.is_empty() => "no arguments: codex chooses".to_owned(),
            args => args,
        };
        format!("{:<width$}  {default:<7}  {args}", escaped(&model.id))
    });
    lines.collect::<Vec<_>>().join("\n")
}
