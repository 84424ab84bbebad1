//! `models`: what a runtime may ask for.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use plexum_openai_provider::config::DEFAULT_MODEL;
use plexum_openai_provider::{Capability, Config, Model, Provider, SupportedModel, doctor};
use serde::Serialize;

use super::audit::print;
use plexum_openai_provider::audit::{escaped, quoted};

/// Show the models on offer, the default one first, and the arguments that codex gets for each.
///
/// The component is asked for its models, as a runtime asks it; codex is not started. With --discover, codex is
/// asked which models it knows.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider models
  plexum-openai-provider models --discover
  plexum-openai-provider models --discover --json > models.json

--discover needs no network and no login. Your account may offer fewer models; a ChatGPT account may accept none by name.

Exit codes: 0 done, 2 the configuration, the component or codex cannot be used.")]
pub struct Models {
    /// The configuration [default: ~/.plexum/plugins/plexum-openai-provider/config.json, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the models that the installed codex knows, and what to write into the configuration to offer them
    #[arg(long)]
    discover: bool,
    /// Print JSON: the provider's id, version, capabilities and models; with --discover, the setting `supported_models`
    #[arg(long)]
    json: bool,
}

/// The models on offer.
#[derive(Serialize)]
struct Offer {
    id: String,
    version: String,
    capabilities: Vec<Capability>,
    models: Vec<Offered>,
}

/// A model on offer.
#[derive(Serialize)]
struct Offered {
    #[serde(flatten)]
    model: Model,
    default: bool,
    args: Vec<String>,
}

impl Models {
    pub fn run(self) -> Result<ExitCode> {
        let config = super::config(self.config.as_deref())?;
        if self.discover {
            return discover(&config, self.json);
        }
        let provider = Provider::new(config.clone())?;
        let description = super::runtime(1)?
            .block_on(provider.describe())
            .map_err(|error| anyhow!("the component cannot list its models: {error:#}"))?;
        let models = description.models.into_iter().enumerate();
        let models = models.map(|(position, model)| Offered {
            default: position == 0,
            args: config.args_of(&model.id),
            model,
        });
        let offer = Offer {
            id: description.id,
            version: description.version,
            capabilities: description.capabilities,
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

/// Shows what codex knows.
fn discover(config: &Config, json: bool) -> Result<ExitCode> {
    let models = super::runtime(1)?.block_on(doctor::discover(config));
    let models = models.map_err(|error| anyhow!(error))?;
    if json {
        let setting = serde_json::json!({ "supported_models": models });
        print(&serde_json::to_string_pretty(&setting)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines: Vec<String> = columns(&models);
    lines.push(String::new());
    lines.push(
        "To offer some of them, write their lines into config.json; the first is the default:"
            .into(),
    );
    lines.push("  \"supported_models\": [".into());
    // The default stays: it leaves the choice to codex, and every account takes it.
    let first = SupportedModel::new(DEFAULT_MODEL);
    let all: Vec<_> = [&first].into_iter().chain(&models).collect();
    for (position, model) in all.iter().enumerate() {
        let comma = if position + 1 < all.len() { "," } else { "" };
        lines.push(format!("    {}{comma}", serde_json::to_string(model)?));
    }
    lines.push("  ]".into());
    print(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// One line per model: its name, how many tokens it takes, and the efforts.
fn columns(models: &[SupportedModel]) -> Vec<String> {
    let names = models
        .iter()
        .map(|model| escaped(&model.id).chars().count());
    let width = names.max().unwrap_or(0);
    let line = |model: &SupportedModel| {
        let window = model.context_window;
        let window = window.map_or("unknown".to_owned(), |tokens| tokens.to_string());
        let efforts = match model.efforts.join(", ") {
            none if none.is_empty() => "unknown".to_owned(),
            efforts => efforts,
        };
        let images = if model.images { "" } else { "; no images" };
        let id = escaped(&model.id);
        let efforts = escaped(&efforts);
        format!("{id:<width$}  context window {window:>7}; efforts: {efforts}{images}")
    };
    models.iter().map(line).collect()
}

fn text(offer: &Offer) -> String {
    let names = offer
        .models
        .iter()
        .map(|offered| escaped(&offered.model.id).chars().count());
    let width = names.max().unwrap_or(0);
    let lines = offer.models.iter().map(|offered| {
        let default = if offered.default { "default" } else { "" };
        let args: Vec<_> = offered
            .args
            .iter()
            .map(|arg| escaped(&quoted(arg)))
            .collect();
        let args = match args.join(" ") {
            args if args.is_empty() => "no arguments: codex chooses".to_owned(),
            args => args,
        };
        let id = escaped(&offered.model.id);
        format!("{id:<width$}  {default:<7}  {args}")
    });
    lines.collect::<Vec<_>>().join("\n")
}
