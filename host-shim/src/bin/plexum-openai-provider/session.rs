//! `session`: the conversation that a workspace remembers.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use plexum_openai_provider::{Loaded, SessionFiles, SessionKey, SessionStore};

use super::harmless::one_line;

/// Show, forget or choose the conversation of a workspace.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider session show
  plexum-openai-provider session reset --workspace ~/agents/scribe
  plexum-openai-provider session reset --session review
  plexum-openai-provider session adopt 01a215f0-83f3-7a93-a4bf-ac302d6a3744

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

#[derive(Clone, Subcommand)]
enum Action {
    /// Print the thread id and what is known of its tokens, as JSON
    Show,
    /// Set the session file aside as .plexum-codex-session.bad, so that the next turn begins a new conversation
    Reset,
    /// Go on with a thread of codex's here, and no longer in the workspace that it belongs to
    Adopt {
        /// The id of the thread, as `codex resume` lists it
        #[arg(value_name = "ID")]
        thread_id: String,
    },
}

impl Session {
    pub fn run(self) -> Result<ExitCode> {
        let workspace = super::absolute(&self.workspace)?;
        let key = SessionKey::new(workspace, self.session);
        super::runtime(1)?.block_on(act(self.action, &key))
    }
}

async fn act(action: Action, key: &SessionKey) -> Result<ExitCode> {
    let files = SessionFiles::default();
    if let Action::Adopt { thread_id } = &action {
        let before = patiently(files.adopt(key, thread_id)).await?;
        let workspace = shown(&key.workspace);
        println!("The next turn in {workspace} goes on with {thread_id}.");
        if let Some(before) = before {
            println!(
                "It belonged to {}, where the next turn begins a new conversation.",
                shown(&before)
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Loaded { entry, notices, .. } = files.peek(key).await?;
    for notice in notices {
        eprintln!("{}", crate::harmless(&notice));
    }
    let Some(entry) = entry else {
        let named = key.session.as_ref();
        let named = named.map_or(String::new(), |name| format!(" of the name {name:?}"));
        let workspace = shown(&key.workspace);
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
            patiently(files.lock(key)).await?.set_aside().await?;
            let path = SessionFiles::session_file(key);
            let name = path.file_name().unwrap_or_default();
            println!(
                "{} was set aside as {}.bad, and the next turn begins a new conversation. To continue this one, run `plexum-openai-provider session adopt {}`.",
                shown(&path),
                name.display(),
                entry.thread_id
            );
        }
        Action::Adopt { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for what may have to wait for a turn, and says so. A turn may take hours.
async fn patiently<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    eprintln!("A turn of this conversation is running. Waiting for its end; Ctrl-C gives up.");
    work.await
}

/// A path, made harmless for a terminal: another program may have named the folder.
fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}
