//! `session`: the conversation that a workspace remembers.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use plexum_openai_provider::audit::{escaped, shell_word};
use plexum_openai_provider::fleet::store::Listed;
use plexum_openai_provider::fleet::{Fleet, fleet_of};
use plexum_openai_provider::{Loaded, SessionErrorKind, SessionFiles, SessionIndex, SessionKey};
use serde_json::{Value, json};

use super::harmless::one_line;

/// Show, forget or choose the conversation of a workspace, or list those of a store that machines share.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider session show
  plexum-openai-provider session reset --workspace ~/agents/scribe
  plexum-openai-provider session reset --session review
  plexum-openai-provider session adopt 01a215f0-83f3-7a93-a4bf-ac302d6a3744
  plexum-openai-provider session list

Exit codes: 0 done, 1 there is no conversation, 2 the session cannot be used.")]
pub struct Session {
    #[command(subcommand)]
    action: Action,
    /// The folder that remembers the conversation
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    workspace: PathBuf,
    /// The conversation of this name instead of the workspace's own, or the session that an editor began with `acp`
    #[arg(long, value_name = "NAME", global = true)]
    session: Option<String>,
    /// The configuration [default: ~/.plexum/plugins/plexum-openai-provider/config.json, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Clone, Subcommand)]
enum Action {
    /// Print the thread id and what is known of its tokens, as JSON; of a store that machines share, all that it has
    Show,
    /// Have the next turn begin a new conversation: the session file is set aside as .plexum-codex-session.bad
    Reset,
    /// Go on with a thread that codex has on this machine, and no longer in the workspace that it belongs to
    Adopt {
        /// The id of the thread, as `codex resume` lists it
        #[arg(value_name = "ID")]
        thread_id: String,
    },
    /// Print each conversation of a store that machines share (`sessions.postgres`), one line of JSON each: its thread, its
    /// size, and which host has it since when
    List,
}

impl Session {
    pub fn run(self) -> Result<ExitCode> {
        let workspace = super::absolute(&self.workspace)?;
        let key = SessionKey::new(workspace, self.session);
        let config = super::config(self.config.as_deref())?;
        super::runtime(2)?.block_on(async {
            match fleet_of(&config)? {
                Some(fleet) => act_in_fleet(self.action, &key, &fleet).await,
                None => act(self.action, &key).await,
            }
        })
    }
}

/// The same in a store that machines share.
async fn act_in_fleet(action: Action, key: &SessionKey, fleet: &Fleet) -> Result<ExitCode> {
    let name = Fleet::key(key);
    let none = || {
        eprintln!(
            "There is no conversation {} in the store yet.",
            one_line(&name)
        );
        Ok(ExitCode::FAILURE)
    };
    match action {
        Action::List => {
            let mut after: Option<String> = None;
            loop {
                let listed = fleet.store().list(after.as_deref(), PAGE).await?;
                for conversation in &listed {
                    print_line(&shown_conversation(conversation))?;
                }
                match listed.last() {
                    Some(last) if listed.len() == PAGE as usize => after = Some(last.key.clone()),
                    _ => break,
                }
            }
        }
        Action::Show => match fleet.store().find(&name).await? {
            Some(found) => print_line(&shown_conversation(&found))?,
            None => return none(),
        },
        Action::Reset => {
            if fleet.store().find(&name).await?.is_none() {
                return none();
            }
            match patiently(fleet.set_aside(key)).await? {
                Some(entry) => println!(
                    "The next turn begins a new conversation. The thread {} stays in the store until `plexum-openai-provider fleet sweep` removes it.",
                    entry.thread_id
                ),
                None => return none(),
            }
        }
        Action::Adopt { thread_id } => {
            patiently(fleet.adopt(key, &thread_id)).await?;
            println!(
                "The next turn of {}, on any host, goes on with {thread_id}.",
                one_line(&name)
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many conversations are asked for at once.
const PAGE: u32 = 500;

fn print_line(value: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").context("the list cannot be printed")
}

/// A conversation of the store, as JSON.
fn shown_conversation(conversation: &Listed) -> Value {
    let Listed {
        key,
        holder,
        last_host,
        thread,
        updated,
        ..
    } = conversation;
    let record = thread.as_ref().and_then(|thread| thread.record.as_ref());
    json!({
        "key": key,
        "thread_id": thread.as_ref().map(|thread| &thread.entry.thread_id),
        "thread_usage": thread.as_ref().and_then(|thread| thread.entry.totals),
        "record_bytes": record.map(|record| record.bytes),
        "codex_version": record.map(|record| &record.codex_version),
        "last_host": last_host,
        "updated": humantime::format_rfc3339_seconds(*updated).to_string(),
        "holder": holder.as_ref().map(|holder| json!({
            "host": holder.host,
            "for_seconds": holder.held_for.as_secs(),
            "lease_ends_in_seconds": holder.ends_in.as_secs(),
        })),
    })
}

async fn act(action: Action, key: &SessionKey) -> Result<ExitCode> {
    if let Action::List = action {
        bail!(
            "there is no store to list: without `sessions.postgres` in the configuration, each workspace keeps its own conversation; see `session show`"
        );
    }
    let (files, editors) = files_of(key).await?;
    let next_turn = match editors {
        Some(id) => format!("The next turn of the session {id}"),
        None => format!("The next turn in {}", shown(&key.workspace)),
    };
    if let Action::Adopt { thread_id } = &action {
        let before = patiently(files.adopt(key, thread_id)).await?;
        println!("{next_turn} goes on with {thread_id}.");
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
        let workspace = shown(&key.workspace);
        match (editors, &key.session) {
            (Some(id), _) => eprintln!("Nothing was said yet in the session {id}."),
            (None, Some(name)) => {
                eprintln!("There is no conversation of the name {name:?} in {workspace} yet.");
            }
            (None, None) => eprintln!("There is no conversation in {workspace} yet."),
        }
        return Ok(ExitCode::FAILURE);
    };
    match action {
        Action::Show => println!(
            "{}",
            serde_json::json!({ "thread_id": entry.thread_id, "thread_usage": entry.totals })
        ),
        Action::Reset => {
            // A running turn would write the id again.
            patiently(files.set_aside(key)).await?;
            let next_turn = match editors {
                Some(_) => next_turn,
                None => {
                    let path = SessionFiles::session_file(key);
                    let name = path.file_name().unwrap_or_default();
                    format!(
                        "{} was set aside as {}.bad, and the next turn",
                        shown(&path),
                        name.display()
                    )
                }
            };
            let named = key.session.as_ref();
            let named = named.map_or(String::new(), |name| {
                format!(" --session {}", escaped(&shell_word(name)))
            });
            println!(
                "{next_turn} begins a new conversation. To continue this one, run `plexum-openai-provider session adopt {}{named}` with this --workspace.",
                entry.thread_id
            );
        }
        Action::Adopt { .. } | Action::List => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What keeps the conversation; and its id, if it is a session that an editor began.
async fn files_of(key: &SessionKey) -> Result<(SessionFiles, Option<&str>)> {
    let files = SessionFiles::default();
    let (Some(name), Some(index)) = (&key.session, SessionIndex::of_user()) else {
        return Ok((files, None));
    };
    match index.find(name, &key.workspace).await {
        Ok(_) => Ok((files.indexed(&index), Some(name))),
        // A name of the operator's own.
        Err(error) if error.kind == SessionErrorKind::Lost => Ok((files, None)),
        Err(error) => Err(error.into()),
    }
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
