-- Conversations that any host of a fleet can go on with. `plexum` stands for the name of the schema, which the
-- configuration can change. `plexum-openai-provider fleet init` makes the schema and runs this in one transaction.

create table plexum.schema_version (
  version integer primary key,
  oldest_program integer not null,
  made timestamptz not null default now(),
  made_by text not null
);

comment on table plexum.schema_version is 'What has been made of this schema, the newest version last.';
comment on column plexum.schema_version.version is 'The version that was made.';
comment on column plexum.schema_version.oldest_program is 'Programs that know this version or a newer one can use the schema as it is now.';
comment on column plexum.schema_version.made is 'When.';
comment on column plexum.schema_version.made_by is 'By which version of plexum-openai-provider.';

create table plexum.conversation (
  id bigint generated always as identity primary key,
  key text collate "C" not null unique,
  fence bigint not null,
  owner text not null,
  host text not null,
  previous_host text,
  held_since timestamptz not null,
  held_until timestamptz not null,
  updated timestamptz not null,
  thread_id text,
  totals jsonb,
  instructions text,
  record_path text,
  record_bytes bigint,
  record_digest bytea check (octet_length(record_digest) = 32),
  record_codex text,
  record_pieces integer not null default 0,
  check (num_nulls(record_path, record_bytes, record_digest, record_codex) in (0, 4)),
  check (record_bytes is null or thread_id is not null)
)
-- A row changes with every step of a turn. With room beside it, and no index on what changes, the index is left alone.
with (fillfactor = 50);

comment on table plexum.conversation is 'One row for each conversation of an agent: who may write it, and what it goes on with.';
comment on column plexum.conversation.id is 'What the pieces of its records refer to.';
comment on column plexum.conversation.key is 'The name of the conversation, the same on every host.';
comment on column plexum.conversation.fence is 'How often the lease has been given. Each write names it, so that a host that was paused cannot write after its successor.';
comment on column plexum.conversation.owner is 'Who holds or held the lease: a random word, new for each turn.';
comment on column plexum.conversation.host is 'The host that holds or held the lease.';
comment on column plexum.conversation.previous_host is 'The host that held it before.';
comment on column plexum.conversation.held_since is 'When the lease was given.';
comment on column plexum.conversation.held_until is 'When the lease ends or ended, by the clock of this server.';
comment on column plexum.conversation.updated is 'When the conversation was last held or changed.';
comment on column plexum.conversation.thread_id is 'The thread of codex that it goes on with; null if it begins again.';
comment on column plexum.conversation.totals is 'The tokens that the thread has used; null if they are not known.';
comment on column plexum.conversation.instructions is 'A digest of the instructions that the thread began with.';
comment on column plexum.conversation.record_path is 'Where codex keeps its record of the thread, from its home; null if none is kept here.';
comment on column plexum.conversation.record_bytes is 'How long that record is.';
comment on column plexum.conversation.record_digest is 'The SHA-256 of that record.';
comment on column plexum.conversation.record_codex is 'The version of the newest codex that has written to that record.';
comment on column plexum.conversation.record_pieces is 'How many pieces of it have come since they were last merged.';

create table plexum.record_piece (
  conversation bigint not null references plexum.conversation (id) on delete cascade,
  thread_id text not null,
  at bigint not null,
  bytes bytea not null,
  written timestamptz not null,
  left_at timestamptz,
  primary key (conversation, thread_id, at)
);

-- For the sweep; it holds only what may be swept.
create index record_piece_left_at on plexum.record_piece (left_at) where left_at is not null;

comment on table plexum.record_piece is 'What codex has written of each thread, in pieces. It holds whatever the model and its tools have said: it is as confidential as the workspace.';
comment on column plexum.record_piece.conversation is 'Whose record it belongs to.';
comment on column plexum.record_piece.thread_id is 'The thread of codex.';
comment on column plexum.record_piece.at is 'Where the piece begins in the record.';
comment on column plexum.record_piece.bytes is 'The bytes, as codex wrote them.';
comment on column plexum.record_piece.written is 'When they were kept.';
comment on column plexum.record_piece.left_at is 'When the conversation went on with another thread; null while it goes on with this one.';

create table plexum.host_login (
  login bytea not null check (octet_length(login) = 32),
  host text not null,
  used timestamptz not null,
  primary key (login, host)
);

comment on table plexum.host_login is 'Which hosts use which login, so that one login on two hosts is noticed: it fails when either renews it.';
comment on column plexum.host_login.login is 'A digest of the login; the login itself cannot be had from it.';
comment on column plexum.host_login.host is 'The host.';
comment on column plexum.host_login.used is 'When it last used the login.';

-- The steps of a turn are functions: the server keeps the plans of what is in them, however a host is connected, also
-- through a pooler that gives each statement another connection. Without them most of its work would be planning.

create function plexum.acquire(p_key text, p_owner text, p_host text, p_lasts interval)
returns plexum.conversation language plpgsql as $$
declare
  kept plexum.conversation;
begin
  -- What comes later makes it durable, and a lease that is lost in a crash is missed by nobody.
  perform set_config('synchronous_commit', 'off', true);
  loop
    update plexum.conversation
    set fence = fence + 1,
        owner = p_owner,
        host = p_host,
        previous_host = case when owner = p_owner then previous_host else host end,
        held_since = clock_timestamp(),
        held_until = clock_timestamp() + p_lasts,
        updated = clock_timestamp()
    where key = p_key and (held_until <= clock_timestamp() or owner = p_owner)
    returning * into kept;
    if found then
      return kept;
    end if;
    select * into kept from plexum.conversation where key = p_key;
    if found then
      if kept.held_until > clock_timestamp() then
        return kept;
      end if;
    else
      insert into plexum.conversation (key, fence, owner, host, held_since, held_until, updated)
      values (p_key, 1, p_owner, p_host, clock_timestamp(), clock_timestamp() + p_lasts, clock_timestamp())
      on conflict (key) do nothing
      returning * into kept;
      if found then
        return kept;
      end if;
    end if;
    -- Somebody was faster.
  end loop;
end
$$;

comment on function plexum.acquire is 'Gives the lease of a conversation if nobody has it, and returns the conversation: its owner is who has the lease now.';

create function plexum.renew(p_key text, p_owner text, p_fence bigint, p_lasts interval)
returns boolean language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  update plexum.conversation
  set held_until = clock_timestamp() + p_lasts, updated = clock_timestamp()
  where key = p_key and owner = p_owner and fence = p_fence;
  return found;
end
$$;

comment on function plexum.renew is 'Lets a lease last this long from now on; false if somebody else has taken it.';

create function plexum.change(
  p_key text, p_owner text, p_fence bigint,
  p_thread text, p_totals jsonb, p_instructions text,
  p_path text, p_at bigint, p_digest bytea, p_codex text, p_tail bytea,
  p_lasts interval, p_durable boolean, p_most integer,
  out outcome text, out kept_bytes bigint, out pieces integer
) language plpgsql as $$
declare
  p_bytes constant bigint := case when p_path is not null then p_at + octet_length(p_tail) end;
  added integer := least(octet_length(p_tail), 1);
  kept plexum.conversation;
begin
  if not p_durable then
    perform set_config('synchronous_commit', 'off', true);
  elsif current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;

  outcome := 'done';
  -- Nearly always it goes on where it is.
  update plexum.conversation
  set totals = p_totals,
      instructions = p_instructions,
      record_path = p_path,
      record_bytes = p_bytes,
      record_digest = p_digest,
      record_codex = p_codex,
      record_pieces = record_pieces + added,
      held_until = clock_timestamp() + p_lasts,
      updated = clock_timestamp()
  where key = p_key and owner = p_owner and fence = p_fence
    and thread_id = p_thread and record_bytes = p_at and (added > 0 or record_digest = p_digest)
  returning id, record_pieces into kept.id, pieces;

  if not found then
    select * into kept from plexum.conversation
    where key = p_key and owner = p_owner and fence = p_fence
    for update;
    if not found then
      outcome := 'moved';
      return;
    end if;
    if kept.thread_id is not distinct from p_thread then
      kept_bytes := coalesce(kept.record_bytes, 0);
      if kept.record_bytes = p_bytes and kept.record_digest = p_digest then
        -- The same once more.
        added := 0;
      elsif kept_bytes <> p_at or (added = 0 and kept_bytes > 0) then
        outcome := 'gap';
        return;
      end if;
    else
      kept_bytes := 0;
      if p_at <> 0 then
        outcome := 'gap';
        return;
      end if;
      update plexum.record_piece set left_at = clock_timestamp()
      where conversation = kept.id and thread_id = kept.thread_id;
      delete from plexum.record_piece where conversation = kept.id and thread_id = p_thread;
      kept.record_pieces := 0;
    end if;
    pieces := kept.record_pieces + added;
    update plexum.conversation
    set thread_id = p_thread,
        totals = p_totals,
        instructions = p_instructions,
        record_path = p_path,
        record_bytes = p_bytes,
        record_digest = p_digest,
        record_codex = p_codex,
        record_pieces = pieces,
        held_until = clock_timestamp() + p_lasts,
        updated = clock_timestamp()
    where id = kept.id;
  end if;

  if added > 0 and octet_length(p_tail) <= p_most then
    insert into plexum.record_piece (conversation, thread_id, at, bytes, written)
    values (kept.id, p_thread, p_at, p_tail, clock_timestamp());
  elsif added > 0 then
    -- A very long line, which is read in pieces all the same.
    insert into plexum.record_piece (conversation, thread_id, at, bytes, written)
    select kept.id, p_thread, p_at + begins, substring(p_tail from begins + 1 for p_most), clock_timestamp()
    from generate_series(0, octet_length(p_tail) - 1, p_most) begins;
  end if;
end
$$;

comment on function plexum.change is 'Keeps what a turn has brought, all of it or nothing. The outcome is "done", "moved" if somebody else has the lease, or "gap" if the piece does not follow the bytes that are kept.';

create function plexum.merge(p_key text, p_owner text, p_fence bigint, p_thread text, p_most integer)
returns boolean language plpgsql as $$
declare
  kept_id bigint;
begin
  perform set_config('synchronous_commit', 'off', true);
  update plexum.conversation set record_pieces = 0
  where key = p_key and owner = p_owner and fence = p_fence and thread_id = p_thread
  returning id into kept_id;
  if not found then
    return false;
  end if;
  -- One piece of all that begin in the same stretch of `p_most` bytes.
  with stretch as (
    select at / p_most as number
    from plexum.record_piece
    where conversation = kept_id and thread_id = p_thread
    group by at / p_most
    having count(*) > 1
  ), whole as (
    select stretch.number, min(at) as at, string_agg(bytes, '' order by at) as bytes
    from stretch join plexum.record_piece p
      on p.conversation = kept_id and p.thread_id = p_thread
      and p.at >= stretch.number * p_most and p.at < (stretch.number + 1) * p_most
    group by stretch.number
  ), gone as (
    delete from plexum.record_piece p using whole
    where p.conversation = kept_id and p.thread_id = p_thread
      and p.at > whole.at and p.at < (whole.number + 1) * p_most
  )
  update plexum.record_piece p set bytes = whole.bytes, written = clock_timestamp()
  from whole
  where p.conversation = kept_id and p.thread_id = p_thread and p.at = whole.at;
  return true;
end
$$;

comment on function plexum.merge is 'Makes one piece of many of a record; false if somebody else has the lease, or the conversation goes on with another thread.';
