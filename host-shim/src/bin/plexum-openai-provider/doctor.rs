//! `doctor`: whether an installation works.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use plexum_openai_provider::doctor::{self, Status};

use super::audit::print;

/// Check whether turns will work, and how to fix what is wrong.
///
/// Codex is asked for its version and its login; neither the component nor a model is run without --turn.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider doctor
  plexum-openai-provider doctor --workspace ~/agents/scribe --turn
  plexum-openai-provider doctor --json

Exit codes: 0 no problem, warnings or not; 1 a problem.")]
pub struct DoctorCommand {
    /// The folder that turns run in
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
    /// The configuration [default: ~/.plexum/plugins/plexum-openai-provider/config.json, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, as host-shim/schemas/doctor.schema.json describes it
    #[arg(long)]
    json: bool,
    /// Also run one real turn, in a scratch folder; it costs what a turn costs
    #[arg(long)]
    turn: bool,
}

impl DoctorCommand {
    pub fn run(self) -> Result<ExitCode> {
        // Where this program runs may be gone, which is a finding and no reason to give up.
        let workspace = super::absolute(&self.workspace).unwrap_or(self.workspace);
        let doctor = doctor::Doctor {
            config: self.config,
            workspace,
            turn: self.turn,
        };
        let report = super::runtime(1)?.block_on(doctor.examine());
        print(&if self.json {
            serde_json::to_string_pretty(&report)?
        } else {
            report.to_string()
        })?;
        Ok(match report.outcome {
            Status::Ok | Status::Warning => ExitCode::SUCCESS,
            Status::Problem => ExitCode::FAILURE,
        })
    }
}
