//! Conversations in PostgreSQL, version 13 or newer, also behind a pooler in transaction mode.

mod error;
mod password;
mod pool;
mod row;
mod schema;
mod settings;
mod settings_error;
mod statements;
mod tls;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use self::error::{Explains, is_worth_a_repetition};
use self::pool::{Parameter, Pool};
use self::row::{Conversation, column, duration, microseconds, unsigned};
pub use self::schema::Initialised;
use self::settings::process_environment;
pub use self::settings::{ANSWER_LIMIT, CONNECTIONS, SCHEMA, Settings};
pub use self::settings_error::SettingsError;
use self::statements::Statements;
use super::store::{
    Acquisition, Change, FleetStore, Held, Lease, Listed, MAX_PIECE_BYTES, Owner, Swept, Then,
};
use crate::session::store::{SessionError, StoreFuture};

/// From how many pieces on a record is merged when a turn has ended.
const MANY_PIECES: i32 = 256;

/// From how many on it is merged while a turn runs.
const TOO_MANY_PIECES: i32 = 4096;

/// How large pieces are made.
const PIECE: i32 = MAX_PIECE_BYTES as i32;

/// The slowest connection that is put up with, in bytes a millisecond.
const SLOWEST: u64 = 256;

/// Keeps the conversations of a fleet in PostgreSQL. Clones share their connections.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: Arc<Pool>,
    statements: Statements,
    explains: Explains,
    place: String,
    answer_limit: Duration,
    /// Whether the schema has been found to be one that this program can use.
    is_checked: AtomicBool,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_tuple("PostgresStore")
            .field(&self.0.place)
            .finish()
    }
}

impl PostgresStore {
    /// A store that connects when it is first asked something, and looks at the schema then.
    ///
    /// # Errors
    /// If the settings are not understood, or a file that they name cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let target = settings.target(&process_environment)?;
        let connector = tls::connector(&target.tls)?;
        Ok(PostgresStore(Arc::new(Inner {
            explains: Explains::of(&target),
            statements: Statements::of(&target.schema),
            pool: Pool::new(&target, connector),
            place: target.place,
            answer_limit: target.answer_limit,
            is_checked: AtomicBool::new(false),
        })))
    }

    /// A store that is connected, and whose schema this program can use.
    ///
    /// # Errors
    /// If the settings are not understood, the server cannot be used, or the schema has to be made first, by
    /// [`init`](Self::init).
    pub async fn connect(settings: &Settings) -> Result<Self, SessionError> {
        let store = Self::new(settings)?;
        store.check().await?;
        Ok(store)
    }

    /// Makes the schema, or brings it up to date, and gives a role what a host needs. It wants the rights of an owner, which
    /// hosts do not need. Doing it again changes nothing.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect), and if the schema is newer than this program.
    pub async fn init(
        settings: &Settings,
        grant_to: Option<&str>,
    ) -> Result<Initialised, SessionError> {
        let target = settings.target(&process_environment)?;
        schema::init(&target, &Explains::of(&target), grant_to).await
    }

    /// The host and the port, or the socket.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// Looks whether the schema is one that this program can use.
    async fn check(&self) -> Result<(), SessionError> {
        let Inner {
            statements,
            explains,
            ..
        } = &*self.0;
        let rows = self.ask_unchecked(&statements.version, &[], 0).await?;
        let row = rows.first().ok_or_else(|| {
            explains.schema("the schema is not whole: run `plexum-openai-provider fleet init`")
        })?;
        let (version, oldest_program) = (column(row, "version")?, column(row, "oldest_program")?);
        match schema::unusable(explains.schema_name(), version, oldest_program) {
            Some(why) => Err(explains.schema(&why)),
            None => {
                self.0.is_checked.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// The answer to a statement, with which some bytes go to the server or come from it.
    async fn ask(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
        bytes: u64,
    ) -> Result<Vec<Row>, SessionError> {
        if !self.0.is_checked.load(Ordering::Relaxed) {
            self.check().await?;
        }
        self.ask_unchecked(sql, parameters, bytes).await
    }

    async fn ask_unchecked(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
        bytes: u64,
    ) -> Result<Vec<Row>, SessionError> {
        let Inner {
            pool,
            explains,
            answer_limit,
            ..
        } = &*self.0;
        let deadline = Instant::now() + *answer_limit + Duration::from_millis(bytes / SLOWEST);
        let mut answer = pool.query(deadline, sql, parameters).await;
        // All statements may be made twice.
        if answer.as_ref().is_err_and(is_worth_a_repetition) {
            pool.forget_idle();
            answer = pool.query(deadline, sql, parameters).await;
        }
        answer.map_err(|failure| explains.failure(&failure))
    }

    /// The answer of a statement that always has a row.
    async fn ask_one(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
        bytes: u64,
    ) -> Result<Row, SessionError> {
        let mut rows = self.ask(sql, parameters, bytes).await?;
        rows.pop()
            .ok_or_else(|| self.0.explains.schema("the answer has no row: see its log"))
    }

    async fn change(&self, lease: &Lease, change: Change<'_>) -> Result<(), SessionError> {
        let at = signed(change.at()?);
        let thread = change.thread;
        let record = thread.and_then(|thread| thread.record.as_ref());
        let thread_id = thread.map(|thread| thread.entry.thread_id.as_str());
        let totals = thread
            .and_then(|thread| thread.entry.totals)
            .map(|totals| serde_json::to_string(&totals))
            .transpose()
            .map_err(|error| self.0.explains.schema(&error.to_string()))?;
        let lasts = match change.then {
            Then::Renew(lasts) => lasts,
            Then::Release => Duration::ZERO,
        };
        let row = self
            .ask_one(
                &self.0.statements.change,
                &[
                    text(&lease.key),
                    text(&lease.owner.id),
                    number(&lease.fence),
                    text(&thread_id),
                    text(&totals),
                    text(&thread.and_then(|thread| thread.entry.instructions.as_deref())),
                    text(&record.map(|record| record.path.as_str())),
                    number(&at),
                    bytes(&record.map(|record| record.digest.as_slice())),
                    text(&record.map(|record| record.codex_version.as_str())),
                    bytes(&change.tail),
                    number(&microseconds(lasts)),
                    (&change.durable, Type::BOOL),
                    (&PIECE, Type::INT4),
                ],
                change.tail.len() as u64,
            )
            .await?;
        match column::<&str>(&row, "outcome")? {
            "done" => {
                let pieces = column::<Option<i32>>(&row, "pieces")?.unwrap_or(0);
                let many = match change.then {
                    Then::Release => MANY_PIECES,
                    Then::Renew(_) => TOO_MANY_PIECES,
                };
                if let Some(thread_id) = thread_id.filter(|_| pieces > many) {
                    self.merge(lease, thread_id).await;
                }
                Ok(())
            }
            "moved" => Err(lease.moved()),
            _ => {
                let kept = column::<Option<i64>>(&row, "kept_bytes")?;
                Err(lease.does_not_follow(unsigned(at), unsigned(kept.unwrap_or(0))))
            }
        }
    }

    /// Makes few pieces of many, which only makes the record faster to read.
    async fn merge(&self, lease: &Lease, thread_id: &str) {
        let parameters = [
            text(&lease.key),
            text(&lease.owner.id),
            number(&lease.fence),
            text(&thread_id),
            (&PIECE, Type::INT4),
        ];
        let merged = self
            .ask(
                &self.0.statements.merge,
                &parameters,
                MAX_PIECE_BYTES as u64,
            )
            .await;
        if let Err(error) = merged {
            tracing::debug!(%error, "the pieces of a record were not merged");
        }
    }
}

fn text<'a>(value: &'a (dyn ToSql + Sync)) -> Parameter<'a> {
    (value, Type::TEXT)
}

fn number(value: &i64) -> Parameter<'_> {
    (value, Type::INT8)
}

fn bytes<'a>(value: &'a (dyn ToSql + Sync)) -> Parameter<'a> {
    (value, Type::BYTEA)
}

/// A count of bytes, none of which is that large.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl FleetStore for PostgresStore {
    fn acquire<'a>(
        &'a self,
        key: &'a str,
        owner: &'a Owner,
        lasts: Duration,
    ) -> StoreFuture<'a, Acquisition> {
        Box::pin(async move {
            let lasts = microseconds(lasts);
            let parameters = [
                text(&key),
                text(&owner.id),
                text(&owner.host),
                number(&lasts),
            ];
            let row = self
                .ask_one(&self.0.statements.acquire, &parameters, 0)
                .await?;
            let conversation = Conversation::of(&row)?;
            if !column(&row, "given")? {
                return Ok(Acquisition::Busy(conversation.holder()));
            }
            Ok(Acquisition::Held(Held {
                lease: Lease {
                    key: key.to_owned(),
                    owner: owner.clone(),
                    fence: conversation.fence,
                },
                thread: conversation.thread,
                last_host: conversation.previous_host,
            }))
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease, lasts: Duration) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let lasts = microseconds(lasts);
            let parameters = [
                text(&lease.key),
                text(&lease.owner.id),
                number(&lease.fence),
                number(&lasts),
            ];
            let row = self
                .ask_one(&self.0.statements.renew, &parameters, 0)
                .await?;
            let done: bool = column(&row, "done")?;
            done.then_some(()).ok_or_else(|| lease.moved())
        })
    }

    fn commit<'a>(&'a self, lease: &'a Lease, change: Change<'a>) -> StoreFuture<'a, ()> {
        Box::pin(self.change(lease, change))
    }

    fn read<'a>(
        &'a self,
        lease: &'a Lease,
        thread_id: &'a str,
        from: u64,
    ) -> StoreFuture<'a, Vec<u8>> {
        Box::pin(async move {
            // Far beyond any record, and far from where sums end.
            let from = signed(from).min(i64::MAX / 2);
            let parameters = [
                text(&lease.key),
                text(&thread_id),
                number(&from),
                (&PIECE, Type::INT4),
            ];
            let row = self
                .ask_one(&self.0.statements.read, &parameters, MAX_PIECE_BYTES as u64)
                .await?;
            if !column(&row, "is_whole")? {
                let message = format!(
                    "bytes are missing in the record of the conversation {:?} from byte {from} on: restore them from a backup, or begin a new conversation",
                    lease.key
                );
                return Err(self.0.explains.schema(&message));
            }
            Ok(column::<Option<Vec<u8>>>(&row, "bytes")?.unwrap_or_default())
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let parameters = [
                text(&lease.key),
                text(&lease.owner.id),
                number(&lease.fence),
            ];
            self.ask(&self.0.statements.release, &parameters, 0).await?;
            Ok(())
        })
    }

    fn list<'a>(&'a self, after: Option<&'a str>, most: u32) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(async move {
            let most = i64::from(most);
            let parameters = [text(&after), number(&most)];
            let rows = self.ask(&self.0.statements.list, &parameters, 0).await?;
            rows.iter()
                .map(|row| Ok(Conversation::of(row)?.listed()))
                .collect()
        })
    }

    fn find<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Listed>> {
        Box::pin(async move {
            let rows = self.ask(&self.0.statements.find, &[text(&key)], 0).await?;
            rows.first()
                .map(|row| Ok(Conversation::of(row)?.listed()))
                .transpose()
        })
    }

    fn sweep(&self, unused_for: Duration, most: u32) -> StoreFuture<'_, Swept> {
        Box::pin(async move {
            let unused_for = microseconds(unused_for);
            let most = i64::from(most);
            // It reads and removes much.
            let row = self
                .ask_one(
                    &self.0.statements.sweep,
                    &[number(&unused_for), number(&most)],
                    MAX_PIECE_BYTES as u64,
                )
                .await?;
            let count = |name| column(&row, name).map(unsigned);
            Ok(Swept {
                conversations: count("conversations")?,
                records: count("records")?,
                bytes: count("bytes")?,
            })
        })
    }

    fn note_login<'a>(
        &'a self,
        host: &'a str,
        login: [u8; 32],
        within: Duration,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move {
            let within = microseconds(within);
            let login = login.as_slice();
            let parameters = [text(&host), bytes(&login), number(&within)];
            let rows = self
                .ask(&self.0.statements.note_login, &parameters, 0)
                .await?;
            rows.iter().map(|row| column(row, "host")).collect()
        })
    }

    fn now(&self) -> StoreFuture<'_, SystemTime> {
        Box::pin(async move {
            let row = self.ask_one(&self.0.statements.now, &[], 0).await?;
            Ok(SystemTime::UNIX_EPOCH + duration(column(&row, "now")?))
        })
    }
}
