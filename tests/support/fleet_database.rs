//! A PostgreSQL of a test's own for hosts of a fleet, which notes who writes what: each host has a login of its own.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider::fleet::postgres::PostgresStore;
use plexum_openai_provider::fleet::store::{FleetStore as _, Lease, Listed, Owner};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::postgres::Postgres;

/// What all hosts may do.
const ROLE: &str = "agents";

/// Notes each lease that is given, each later change of a conversation and each new piece of a record, with the login of
/// who did it. The numbers of one conversation are in the order of its changes: its row is locked meanwhile.
const NOTES: &str = "
create table public.note (
  number bigint generated always as identity primary key,
  what text not null, conversation bigint not null, fence bigint not null, host text not null, login text not null,
  at bigint, length bigint
);
create function public.note_conversation() returns trigger language plpgsql security definer as $$
begin
  insert into public.note (what, conversation, fence, host, login)
  values (case when old.fence is distinct from new.fence then 'given' else 'changed' end,
    new.id, new.fence, new.host, session_user);
  return null;
end $$;
create function public.note_piece() returns trigger language plpgsql security definer as $$
begin
  insert into public.note (what, conversation, fence, host, login, at, length)
  select 'piece', c.id, c.fence, c.host, session_user, new.at, octet_length(new.bytes)
  from plexum.conversation c where c.id = new.conversation;
  return null;
end $$;
create trigger note after insert or update on plexum.conversation
  for each row execute function public.note_conversation();
create trigger note after insert on plexum.record_piece
  for each row execute function public.note_piece();
";

/// What nobody may have done.
const WRONG: &str = "
select n.* from (
  select *, lag(fence) over (partition by conversation order by number) as before from public.note
) n where n.login <> 'host_' || n.host or n.fence < n.before
order by number";

/// The server, with the tables of a fleet.
pub struct FleetDatabase {
    /// The server.
    pub server: Postgres,
    runtime: Runtime,
    store: PostgresStore,
}

impl FleetDatabase {
    /// One in which hosts of these names may keep conversations, or a skipped test.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(test: &str, hosts: &[&str]) -> Option<Self> {
        let server = Postgres::start(test)?;
        let mut roles = format!("create role {ROLE};");
        for host in hosts {
            let login = Self::login(host);
            write!(roles, "create role {login} login; grant {ROLE} to {login};")
                .expect("text can be written");
        }
        server.psql(&roles);
        let runtime = Runtime::new().expect("a runtime");
        let settings = server.settings();
        let made = async {
            PostgresStore::init(&settings, Some(ROLE)).await?;
            PostgresStore::connect(&settings).await
        };
        let store = runtime.block_on(made).expect("the tables can be made");
        server.psql(NOTES);
        Some(FleetDatabase {
            server,
            runtime,
            store,
        })
    }

    /// How this host reaches it.
    #[must_use]
    pub fn url(&self, host: &str) -> String {
        self.server.socket_url(&Self::login(host))
    }

    /// The login of this host.
    #[must_use]
    pub fn login(host: &str) -> String {
        format!("host_{host}")
    }

    /// A conversation of this name.
    ///
    /// # Errors
    /// When the server does not say.
    pub fn find(&self, session: &str) -> Result<Option<Listed>> {
        let key = key(session);
        Ok(self.runtime.block_on(self.store.find(&key))?)
    }

    /// The record of a conversation as the store has it; empty if there is none.
    ///
    /// # Errors
    /// When it is not what the store itself says about it.
    pub fn record(&self, session: &str) -> Result<Vec<u8>> {
        let thread = self.find(session)?.and_then(|found| found.thread);
        let Some((thread, mark)) = thread.and_then(|thread| Some((thread.entry, thread.record?)))
        else {
            return Ok(Vec::new());
        };
        // Reading needs no lease.
        let lease = Lease {
            key: key(session),
            owner: Owner {
                id: "reads".to_owned(),
                host: "reads".to_owned(),
            },
            fence: 0,
        };
        let length = usize::try_from(mark.bytes)?;
        let mut record = Vec::new();
        while record.len() < length {
            let from = record.len() as u64;
            let read = self.store.read(&lease, &thread.thread_id, from);
            let read = self.runtime.block_on(read)?;
            ensure!(
                !read.is_empty(),
                "{session}: it ends at byte {from} of {length}"
            );
            record.extend(read);
        }
        // The host may have written more since it was found.
        record.truncate(length);
        let is_same = Sha256::digest(&record).as_slice() == mark.digest;
        ensure!(is_same, "{session}: its digest is another one");
        Ok(record)
    }

    /// Checks that each byte was written by the host that had the lease, and that no fence has fallen.
    ///
    /// # Errors
    /// When somebody else has written.
    pub fn check_notes(&self) -> Result<()> {
        let wrong = self.server.psql(WRONG);
        ensure!(
            wrong.is_empty(),
            "who did not have the lease has written:\n{wrong}"
        );
        let pieces = self
            .server
            .psql("select count(*) from public.note where what = 'piece'");
        let pieces: u64 = pieces.parse().context("a number")?;
        ensure!(pieces > 0, "nothing was noted");
        Ok(())
    }

    /// The hosts that had the lease of a conversation, one after the other.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn holders(&self, session: &str) -> Vec<String> {
        let sql = format!(
            "select n.host from public.note n join plexum.conversation c on c.id = n.conversation where c.key = '{}' and what = 'given' order by number",
            key(session)
        );
        self.server.psql(&sql).lines().map(str::to_owned).collect()
    }
}

fn key(session: &str) -> String {
    format!("session:{session}")
}
