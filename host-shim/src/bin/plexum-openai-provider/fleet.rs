//! `fleet`: the store of conversations that machines share.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use plexum_openai_provider::fleet::postgres::{Initialised, PostgresStore, Settings};
use plexum_openai_provider::fleet::postgres_of;
use plexum_openai_provider::fleet::store::{FleetStore as _, Swept};

/// Prepare and clean the store of conversations that machines share (`sessions.postgres`).
#[derive(Args)]
#[command(after_help = "\
Examples:
  PGUSER=postgres plexum-openai-provider fleet init --grant-to agents
  plexum-openai-provider fleet sweep --unused-for 30d

Exit codes: 0 done, 2 the store cannot be used.")]
pub struct FleetCommand {
    #[command(subcommand)]
    action: Action,
    /// The configuration [default: ~/.plexum/plugins/plexum-openai-provider/config.json, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// Make the tables, or bring them to this version. Log in as a role that may: the hosts need less
    Init {
        /// Let this role use the tables: select, insert, update and delete, and nothing else
        #[arg(long, value_name = "ROLE")]
        grant_to: Option<String>,
    },
    /// Remove conversations, and records that no conversation goes on with, that nobody has used for a while
    Sweep {
        /// For how long, such as `30d` or `12h`
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        unused_for: Duration,
    },
}

/// How many conversations are removed in one statement, so that no lock is held for long.
const BATCH: u32 = 200;

impl FleetCommand {
    pub fn run(self) -> Result<ExitCode> {
        let config = super::config(self.config.as_deref())?;
        let Some(settings) = postgres_of(&config) else {
            bail!(
                "the configuration names no store that machines share: add `\"sessions\": {{ \"postgres\": {{ \"url\": \"postgres://user@host/database\" }} }}`"
            );
        };
        super::runtime(2)?.block_on(act(self.action, &settings))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn act(action: Action, settings: &Settings) -> Result<()> {
    match action {
        Action::Init { grant_to } => {
            let made = PostgresStore::init(settings, grant_to.as_deref()).await?;
            tell(&made);
        }
        Action::Sweep { unused_for } => {
            let store = PostgresStore::new(settings)?;
            let mut all = Swept::default();
            loop {
                let swept = store.sweep(unused_for, BATCH).await?;
                if swept == Swept::default() {
                    break;
                }
                all.conversations += swept.conversations;
                all.records += swept.records;
                all.bytes += swept.bytes;
            }
            println!(
                "{} conversations and {} records of threads, {} bytes in all, were removed.",
                all.conversations, all.records, all.bytes
            );
        }
    }
    Ok(())
}

fn tell(made: &Initialised) {
    match made.before {
        None => println!("The tables were made, version {}.", made.now),
        Some(before) if before == made.now => {
            println!("The tables are there, version {}.", made.now);
        }
        Some(before) => println!(
            "The tables were brought from version {before} to {}.",
            made.now
        ),
    }
    if made.granted {
        println!("The role may use them.");
    } else {
        println!("\nA host needs a role that may do this, and no more:\n");
        for grant in &made.grants {
            println!("{grant};");
        }
    }
}
