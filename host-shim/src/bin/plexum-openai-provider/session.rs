//! `session`: the conversation that a workspace remembers.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use plexum_openai_provider::{SessionFiles, SessionKey, SessionStore};

/// Show or forget the conversation of a workspace.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider session show
  plexum-openai-provider session reset --workspace ~/agents/scribe
  plexum-openai-provider session reset --session review

Exit codes: 0 done, 1 there is no conversation, 2 the session cannot be used.")]
pub struct Session {
    #[command(subcommand)]
    action: Action,
    /// The folder that remembers the conversation
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    workspace: PathBuf,
    /// The conversation of this name instead of the workspace's own
    #[arg(long, value_name = "NAME", global = true)]
    session: Option<String>,
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
        let key = SessionKey::new(workspace, self.session);
        super::runtime()?.block_on(act(self.action, &key))
    }
}

async fn act(action: Action, key: &SessionKey) -> Result<ExitCode> {
    let files = SessionFiles::default();
    let Some(entry) = files.load(key).await? else {
        let named = key.session.as_ref();
        let named = named.map_or(String::new(), |name| format!(" of the name {name:?}"));
        let workspace = key.workspace.display();
        eprintln!("There is no conversation{named} in {workspace} yet.");
        return Ok(ExitCode::FAILURE);
    };
    match action {
        Action::Show => println!(
            "{}",
            serde_json::json!({ "thread_id": entry.thread_id, "thread_usage": entry.totals })
        ),
        Action::Reset => {
            // A running turn would write the id again.
            let _lock = files.lock(key).await?;
            files.set_aside(key).await?;
            let path = SessionFiles::session_file(key);
            let name = path.file_name().unwrap_or_default();
            println!(
                "{} was set aside as {}.bad; to continue it, rename it back.",
                path.display(),
                name.display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
