//! What is asked of the server. Each is one round trip and unnamed: a pooler may give each to another connection, and an
//! old one mixes up the names of statements.

use super::row::COLUMNS;
use super::schema::{self, named};

/// The statements for one schema.
pub struct Statements {
    pub version: String,
    /// key, owner, host, microseconds.
    pub acquire: String,
    /// key, owner, fence, microseconds.
    pub renew: String,
    /// key, owner, fence, thread, totals, instructions, path, at, digest, codex, tail, microseconds, durable, bytes of a piece.
    pub change: String,
    /// key, owner, fence, thread, bytes of a piece.
    pub merge: String,
    /// key, thread, from, bytes at most.
    pub read: String,
    /// key, owner, fence.
    pub release: String,
    /// after this key or null, how many.
    pub list: String,
    /// key.
    pub find: String,
    /// microseconds, how many.
    pub sweep: String,
    /// host, login, microseconds.
    pub note_login: String,
    pub now: String,
}

impl Statements {
    pub fn of(schema: &str) -> Self {
        let named = |sql: &str| named(&sql.replace("{columns}", COLUMNS), schema);
        Statements {
            version: named(schema::NEWEST),
            acquire: named(
                "select c.owner = $2 as given, {columns}
                 from plexum.acquire($1, $2, $3, $4 * interval '1 microsecond') c",
            ),
            renew: named("select plexum.renew($1, $2, $3, $4 * interval '1 microsecond') as done"),
            change: named(
                "select outcome, kept_bytes, pieces
                 from plexum.change($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, $11,
                   $12 * interval '1 microsecond', $13, $14)",
            ),
            merge: named("select plexum.merge($1, $2, $3, $4, $5) as done"),
            read: named(READ),
            release: named(
                "update plexum.conversation c
                 set held_until = least(held_until, clock_timestamp()), updated = clock_timestamp()
                 from set_config('synchronous_commit', 'off', true)
                 where c.key = $1 and c.owner = $2 and c.fence = $3",
            ),
            list: named(
                "select {columns} from plexum.conversation c
                 where $1::text is null or c.key > $1 order by c.key limit $2",
            ),
            find: named("select {columns} from plexum.conversation c where c.key = $1"),
            sweep: named(SWEEP),
            note_login: named(NOTE_LOGIN),
            now: "select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now".into(),
        }
    }
}

/// The pieces from the one on that has the byte that was asked for, and whether they are all that is between.
const READ: &str = "
with piece as (
  select p.at, octet_length(p.bytes) as length,
    case when p.at < $3 then substring(p.bytes from least($3 - p.at, octet_length(p.bytes))::integer + 1) else p.bytes end as rest
  from plexum.conversation c
  join plexum.record_piece p on p.conversation = c.id and p.thread_id = $2
  where c.key = $1 and p.at < $3 + $4
    and p.at >= coalesce((
      select max(b.at) from plexum.record_piece b
      where b.conversation = c.id and b.thread_id = $2 and b.at <= $3), 0)
)
select substring(string_agg(rest, '' order by at) for $4::integer) as bytes,
  coalesce(min(at) <= $3 and sum(length) = max(at + length) - min(at), true) as is_whole
from piece";

const SWEEP: &str = "
with unused as (
  delete from plexum.conversation where id in (
    select id from plexum.conversation
    where held_until <= clock_timestamp() - $1 * interval '1 microsecond'
      and updated <= clock_timestamp() - $1 * interval '1 microsecond'
    order by updated limit $2
    for update skip locked)
  returning id
), their_piece as (
  delete from plexum.record_piece p using unused
  where p.conversation = unused.id
  returning p.conversation, p.thread_id, octet_length(p.bytes) as length
), left_thread as (
  select distinct conversation, thread_id from plexum.record_piece
  where left_at <= clock_timestamp() - $1 * interval '1 microsecond'
  limit $2
), left_piece as (
  delete from plexum.record_piece p using left_thread l
  where p.conversation = l.conversation and p.thread_id = l.thread_id and p.left_at is not null
  returning p.conversation, p.thread_id, octet_length(p.bytes) as length
), piece as (
  select * from their_piece union all select * from left_piece
), login as (
  delete from plexum.host_login where used <= clock_timestamp() - $1 * interval '1 microsecond'
)
select (select count(*) from unused) as conversations,
  (select count(distinct (conversation, thread_id)) from piece) as records,
  (select coalesce(sum(length), 0)::bigint from piece) as bytes";

const NOTE_LOGIN: &str = "
with noted as (
  insert into plexum.host_login (login, host, used) values ($2, $1, clock_timestamp())
  on conflict (login, host) do update set used = excluded.used
)
select host from plexum.host_login
where login = $2 and host <> $1 and used >= clock_timestamp() - $3 * interval '1 microsecond'
order by host";
