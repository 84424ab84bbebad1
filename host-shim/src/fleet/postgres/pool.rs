//! Connections that statements share: so many at most, and few that wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::Target;

/// How many connections wait for the next statement for ever.
const STAY: usize = 1;

/// The connections of a store.
pub struct Pool {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    permits: Semaphore,
    /// How long those wait that need not stay.
    idle_limit: Duration,
    /// Whether the server keeps statements.
    prepares: bool,
    /// Those that wait for a statement, the last used one last.
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    connections: Vec<(Connection, Instant)>,
    /// Whether somebody closes those that have waited for long.
    is_watched: bool,
}

/// A connection, and the task that reads and writes it.
struct Connection {
    client: Client,
    task: AbortHandle,
    /// What the server keeps for it, by the text.
    prepared: HashMap<String, Statement>,
}

/// A parameter of a statement, and its type.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Why a statement has no answer.
pub enum Failure {
    /// No connection came free in time.
    AllInUse,
    /// No connection was made in time.
    NotConnected,
    /// The answer did not come in time.
    NoAnswer,
    /// The server, or the connection, says no.
    Said {
        error: tokio_postgres::Error,
        /// Whether the connection had waited, and so may have been closed by the server meanwhile.
        was_idle: bool,
    },
}

/// Ends a connection in the middle of an answer, unless the answer has come.
struct EndsUnlessAnswered(Option<AbortHandle>);

impl Drop for EndsUnlessAnswered {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

impl Pool {
    pub fn new(target: &Target, tls: MakeRustlsConnect) -> Arc<Self> {
        Arc::new(Pool {
            config: target.config.clone(),
            tls,
            permits: Semaphore::new(target.connections),
            idle_limit: target.idle_limit,
            prepares: target.prepared,
            idle: Mutex::default(),
        })
    }

    /// The answer to one statement. If this is dropped, or the time is up, its connection is closed: the answer would be
    /// taken for that of the next statement, or the next would wait for it.
    pub async fn query(
        self: &Arc<Self>,
        deadline: Instant,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let began = Instant::now();
        // It is never closed.
        let _permit = timeout_at(deadline, self.permits.acquire())
            .await
            .map_err(|_| Failure::AllInUse)?;
        // What is too late is put down to what took longest.
        let came_late = began.elapsed() > deadline.saturating_duration_since(Instant::now());
        let too_late = |failure| {
            move |_| {
                if came_late {
                    Failure::AllInUse
                } else {
                    failure
                }
            }
        };
        let waiting = self.waiting();
        let was_idle = waiting.is_some();
        let said = |error| Failure::Said { error, was_idle };
        let mut connection = match waiting {
            Some(connection) => connection,
            None => timeout_at(deadline, self.connect())
                .await
                .map_err(too_late(Failure::NotConnected))?
                .map_err(said)?,
        };
        let mut unless_answered = EndsUnlessAnswered(Some(connection.task.clone()));
        let answer = timeout_at(deadline, connection.ask(sql, parameters, self.prepares))
            .await
            .map_err(too_late(Failure::NoAnswer))?;
        if answer.as_ref().map_or_else(leaves_connection, |_| true) {
            unless_answered.0 = None;
            self.give_back(connection);
        }
        answer.map_err(said)
    }

    /// Closes all that wait, because the server has closed one of them.
    pub fn forget_idle(&self) {
        self.idle().connections.clear();
    }

    fn waiting(&self) -> Option<Connection> {
        let mut idle = self.idle();
        while let Some((connection, _)) = idle.connections.pop() {
            if !connection.client.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connection, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        // What ends it, whoever waits for an answer is told too.
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL has ended");
            }
        });
        Ok(Connection {
            client,
            task: task.abort_handle(),
            prepared: HashMap::new(),
        })
    }

    fn give_back(self: &Arc<Self>, connection: Connection) {
        if connection.client.is_closed() {
            return;
        }
        let mut idle = self.idle();
        idle.connections.push((connection, Instant::now()));
        if idle.connections.len() > STAY && !idle.is_watched {
            idle.is_watched = true;
            let (pool, idle_limit) = (Arc::downgrade(self), self.idle_limit);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(idle_limit).await;
                    let Some(pool) = pool.upgrade() else { break };
                    if !pool.close_old() {
                        break;
                    }
                }
            });
        }
    }

    /// Closes those that have waited for long; whether some are left that will have.
    fn close_old(&self) -> bool {
        let mut idle = self.idle();
        let spare = idle.connections.len().saturating_sub(STAY);
        let old = idle
            .connections
            .iter()
            .take(spare)
            .take_while(|(_, since)| since.elapsed() >= self.idle_limit)
            .count();
        idle.connections.drain(..old);
        idle.is_watched = idle.connections.len() > STAY;
        idle.is_watched
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn ask(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
        prepares: bool,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        if !prepares {
            return self.client.query_typed(sql, parameters).await;
        }
        let statement = match self.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let types: Vec<Type> = parameters.iter().map(|(_, of)| of.clone()).collect();
                let statement = self.client.prepare_typed(sql, &types).await?;
                self.prepared.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let values: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
        self.client.query(&statement, &values).await
    }
}

/// Whether the connection can be used after this error.
fn leaves_connection(error: &tokio_postgres::Error) -> bool {
    let said = error.as_db_error();
    said.is_some_and(|said| {
        matches!(said.parsed_severity(), Some(Severity::Error))
            // A server that has become a standby: look for the primary again. Statements that the server does not know,
            // or plans otherwise since the schema was changed: prepare them again.
            && ![
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::INVALID_SQL_STATEMENT_NAME,
                SqlState::FEATURE_NOT_SUPPORTED,
            ]
            .contains(said.code())
    })
}
