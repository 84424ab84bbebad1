//! `session`: the conversation that a workspace remembers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use plexum_openai_provider::{SESSION_FILE, SessionFiles, SessionStore};

/// Show or forget the conversation of a workspace.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider session show
  plexum-openai-provider session reset --workspace ~/agents/scribe

Exit codes: 0 done, 1 there is no conversation, 2 the session cannot be used.")]
pub struct Session {
    #[command(subcommand)]
    action: Action,
    /// The folder that remembers the conversation
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    workspace: PathBuf,
}

#[derive(Clone, Copy, Subcommand)]
enum Action {
    /// Print the thread id and what is known of its tokens, as JSON
    Show,
    /// Set the session file aside as .plexum-codex-session.bad, so that the next turn begins a new conversation
    Reset,
}

impl Session {
    pub fn run(self) -> Result<ExitCode> {
        let workspace = super::absolute(&self.workspace)?;
        super::runtime()?.block_on(act(self.action, &workspace))
    }
}

async fn act(action: Action, workspace: &Path) -> Result<ExitCode> {
    let files = SessionFiles::default();
    let Some(entry) = files.load(workspace).await? else {
        eprintln!("There is no conversation in {} yet.", workspace.display());
        return Ok(ExitCode::FAILURE);
    };
    match action {
        Action::Show => println!(
            "{}",
            serde_json::json!({ "thread_id": entry.thread_id, "thread_usage": entry.totals })
        ),
        Action::Reset => {
            // A running turn would write the id again.
            let _lock = files.lock(workspace).await?;
            files.set_aside(workspace).await?;
            println!(
                "{} was set aside as {SESSION_FILE}.bad; to continue it, rename it back.",
                workspace.join(SESSION_FILE).display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
