//! Rows as what they mean.

use std::time::{Duration, SystemTime};

use tokio_postgres::Row;

use crate::contract::event::Usage;
use crate::fleet::store::{Holder, Listed, RecordMark, StoredThread};
use crate::session::store::{SessionEntry, SessionError, SessionErrorKind};

/// What is read of a conversation `c`.
pub const COLUMNS: &str = "c.key, c.fence, c.host, c.previous_host, \
    (extract(epoch from clock_timestamp() - c.held_since) * 1000000)::bigint as held_for, \
    (extract(epoch from c.held_until - clock_timestamp()) * 1000000)::bigint as ends_in, \
    (extract(epoch from c.updated) * 1000000)::bigint as updated, \
    c.thread_id, c.totals::text as totals, c.instructions, \
    c.record_path, c.record_bytes, c.record_digest, c.record_codex";

/// A conversation as it was read.
pub struct Conversation {
    pub key: String,
    pub fence: i64,
    pub host: String,
    pub previous_host: Option<String>,
    pub thread: Option<StoredThread>,
    held_for: Duration,
    ends_in: Duration,
    updated: SystemTime,
}

impl Conversation {
    pub fn of(row: &Row) -> Result<Self, SessionError> {
        let key: String = column(row, "key")?;
        let thread = thread(row).map_err(|SessionError { message, .. }| {
            let message = format!(
                "What PostgreSQL holds of the conversation {key:?} makes no sense: {message}"
            );
            SessionError::new(SessionErrorKind::Unreadable, message)
        })?;
        Ok(Conversation {
            fence: column(row, "fence")?,
            host: column(row, "host")?,
            previous_host: column(row, "previous_host")?,
            thread,
            held_for: duration(column(row, "held_for")?),
            ends_in: duration(column(row, "ends_in")?),
            updated: SystemTime::UNIX_EPOCH + duration(column(row, "updated")?),
            key,
        })
    }

    pub fn holder(&self) -> Holder {
        Holder {
            host: self.host.clone(),
            held_for: self.held_for,
            ends_in: self.ends_in,
        }
    }

    pub fn listed(self) -> Listed {
        Listed {
            holder: (!self.ends_in.is_zero()).then(|| self.holder()),
            key: self.key,
            last_host: self.host,
            thread: self.thread,
            updated: self.updated,
        }
    }
}

fn thread(row: &Row) -> Result<Option<StoredThread>, SessionError> {
    let Some(thread_id) = column::<Option<String>>(row, "thread_id")? else {
        return Ok(None);
    };
    let totals = column::<Option<String>>(row, "totals")?
        .map(|totals| serde_json::from_str::<Usage>(&totals))
        .transpose()
        .map_err(|error| unreadable(format!("its totals are not: {error}.")))?;
    let entry = SessionEntry {
        totals,
        instructions: column(row, "instructions")?,
        ..SessionEntry::new(thread_id)
    };
    let Some(path) = column::<Option<String>>(row, "record_path")? else {
        return Ok(Some(StoredThread {
            entry,
            record: None,
        }));
    };
    let digest: Vec<u8> = column(row, "record_digest")?;
    let record = RecordMark {
        path,
        bytes: unsigned(column(row, "record_bytes")?),
        digest: digest
            .try_into()
            .map_err(|_| unreadable("the digest of its record is not a SHA-256."))?,
        codex_version: column(row, "record_codex")?,
    };
    Ok(Some(StoredThread {
        entry,
        record: Some(record),
    }))
}

/// A column by its name.
pub fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    name: &str,
) -> Result<T, SessionError> {
    row.try_get(name).map_err(|error| {
        unreadable(format!(
            "PostgreSQL has answered with something else than {name}: {error}. Run `plexum-openai-provider fleet init` with the newest program of the fleet."
        ))
    })
}

fn unreadable(message: impl Into<String>) -> SessionError {
    SessionError::new(SessionErrorKind::Unreadable, message)
}

/// A count that is never negative.
pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// From microseconds; none if it is over.
pub fn duration(microseconds: i64) -> Duration {
    Duration::from_micros(unsigned(microseconds))
}

/// In microseconds, at most a century.
pub fn microseconds(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 24 * 60 * 60 * 1_000_000;
    i64::try_from(duration.as_micros()).map_or(CENTURY, |microseconds| microseconds.min(CENTURY))
}
