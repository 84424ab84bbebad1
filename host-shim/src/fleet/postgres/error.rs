//! What went wrong, in one sentence with its remedy.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use tokio_postgres::error::{DbError, SqlState};

use super::pool::Failure;
use super::settings::{Target, Tls};
use crate::session::store::{SessionError, SessionErrorKind};

/// What is said of the server.
pub struct Explains {
    place: String,
    user: String,
    database: String,
    schema: String,
    has_password: bool,
    is_verified: bool,
    connections: usize,
    answer_limit: Duration,
}

/// What an error is, and what to do.
type Explained = (SessionErrorKind, String);

use SessionErrorKind::{Denied, Resources, Unavailable, Unreadable};

impl Explains {
    pub fn of(target: &Target) -> Self {
        Explains {
            place: target.place.clone(),
            user: target.user.clone(),
            database: target.database.clone(),
            schema: target.schema.clone(),
            has_password: target.config.get_password().is_some(),
            is_verified: matches!(target.tls, Tls::Verified { .. }),
            connections: target.connections,
            answer_limit: target.answer_limit,
        }
    }

    /// Why a statement has no answer.
    pub fn failure(&self, failure: &Failure) -> SessionError {
        let (kind, text) = match failure {
            Failure::AllInUse => (
                Unavailable,
                format!(
                    "none of the {} connections came free within {:?}: it answers too slowly, or this host needs more (`connections`)",
                    self.connections, self.answer_limit
                ),
            ),
            Failure::NotConnected => (
                Unavailable,
                format!(
                    "no connection was made within {:?}: see that the server runs and that no firewall is in between",
                    self.answer_limit
                ),
            ),
            Failure::NoAnswer => (
                Unavailable,
                format!(
                    "no answer within {:?}: see whether the server is overloaded or hangs",
                    self.answer_limit
                ),
            ),
            Failure::Said { error, .. } => self.said(error),
        };
        self.sentence(kind, &text)
    }

    /// What was found in the schema.
    pub fn schema(&self, text: &str) -> SessionError {
        self.sentence(Unreadable, text)
    }

    /// The name of the schema.
    pub fn schema_name(&self) -> &str {
        &self.schema
    }

    pub fn error(&self, error: &tokio_postgres::Error) -> SessionError {
        let (kind, text) = self.said(error);
        self.sentence(kind, &text)
    }

    fn sentence(&self, kind: SessionErrorKind, text: &str) -> SessionError {
        let text = text.trim_end_matches('.');
        SessionError::new(kind, format!("PostgreSQL at {}: {text}.", self.place))
    }

    fn said(&self, error: &tokio_postgres::Error) -> Explained {
        if let Some(said) = error.as_db_error() {
            return self.said_by_server(said.code(), said);
        }
        let cause = error.source();
        if let Some(io) = cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
            let tls = io
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return tls.map_or_else(|| self.said_by_system(io), |tls| self.said_by_tls(tls));
        }
        let cause = cause.map(ToString::to_string).unwrap_or_default();
        if cause.contains("server does not support TLS") {
            return (
                Denied,
                "the server does not do TLS: switch it on there (ssl = on), or say sslmode=disable if nobody else is on the network".into(),
            );
        }
        if cause.contains("password missing") {
            return (
                Denied,
                format!(
                    "the server wants a password of the role {:?}, and none was given: put it into the URL, PGPASSWORD or ~/.pgpass",
                    self.user
                ),
            );
        }
        if cause.contains("read-write") || cause.contains("database does not allow writes") {
            return (
                Unavailable,
                "none of the servers takes writes: see which one is the primary, and name it among the hosts".into(),
            );
        }
        if error.is_closed() || cause.is_empty() {
            return (
                Unavailable,
                format!("the connection was lost ({error}): see that the server runs"),
            );
        }
        (Unavailable, format!("{error}: {cause}"))
    }

    fn said_by_system(&self, error: &io::Error) -> Explained {
        use io::ErrorKind;
        let text = match error.kind() {
            ErrorKind::ConnectionRefused => "nobody listens there: see that the server runs, and that host and port are right".into(),
            ErrorKind::NotFound => "there is no such socket: see that the server runs, and that host and port are right".into(),
            ErrorKind::PermissionDenied => {
                return (Denied, "this user may not use the socket: change its permissions or connect over TCP".into());
            }
            ErrorKind::TimedOut => "no connection was made in time: see that the server runs and that no firewall is in between".into(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                format!("the connection was lost ({error}): see that the server runs")
            }
            _ if error.to_string().contains("failed to lookup address") => {
                format!("the name of the host was not found: see that it is right ({error})")
            }
            _ => error.to_string(),
        };
        (Unavailable, text)
    }

    fn said_by_tls(&self, error: &rustls::Error) -> Explained {
        let text = match error {
            rustls::Error::InvalidCertificate(why) => match why {
                // The second, if an authority of the same name is trusted.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => "the server's certificate is of an authority that is not trusted here: name the file with that authority's certificate, sslrootcert=FILE".into(),
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    format!("the server's certificate is for another name ({error}): connect by the name in it")
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "the server's certificate has expired: renew it there".into()
                }
                other => format!("the server's certificate is not accepted ({other:?}): renew it there"),
            },
            other => format!("TLS failed ({other}): see the log of the server"),
        };
        (Denied, text)
    }

    /// By SQLSTATE. The server's own words are kept: they name the table, the role or the setting.
    pub(super) fn said_by_server(&self, code: &SqlState, said: &DbError) -> Explained {
        self.by_code(code, said.message())
    }

    fn by_code(&self, code: &SqlState, message: &str) -> Explained {
        let Explains {
            user,
            database,
            schema,
            ..
        } = self;
        let init = "run `plexum-openai-provider fleet init`";
        match code.code() {
            "28P01" => (
                Denied,
                match self.has_password {
                    true => format!("the password of the role {user:?} is refused: correct it where it is set"),
                    false => format!("the role {user:?} needs a password: put it into the URL, PGPASSWORD or ~/.pgpass"),
                },
            ),
            "28000" if message.contains("pg_hba.conf") => (
                Denied,
                match self.is_verified {
                    true => format!("the server lets nobody in from here as {user:?} to {database:?}: add a line to its pg_hba.conf ({message})"),
                    false => format!("the server lets nobody in from here without TLS, or as {user:?} to {database:?}: leave sslmode=disable out, or add a line to its pg_hba.conf ({message})"),
                },
            ),
            "28000" => (Denied, format!("the role {user:?} may not log in: make it or correct the URL ({message})")),
            "3D000" => (Denied, format!("there is no database {database:?}: make it (`createdb {database}`) or correct the URL")),
            // Of `fleet init`.
            "42501" if message.contains("for database") => (
                Denied,
                format!("the role {user:?} may not make a schema: run this as the owner of the database, or `grant create on database {database} to {user}` ({message})"),
            ),
            "42501" => (
                Denied,
                format!("the role {user:?} lacks a permission: run `plexum-openai-provider fleet init --grant-to {user}` as the owner of the schema {schema:?} ({message})"),
            ),
            "3F000" | "42P01" | "42883" | "42703" => (
                Unreadable,
                format!("the schema {schema:?} is missing or not what this program needs: {init} ({message})"),
            ),
            "26000" => (
                Unreadable,
                format!("a prepared statement is gone: leave `prepared` out if a pooler is in front ({message})"),
            ),
            "42704" => (Denied, format!("{message}: make it first")),
            "25006" => (
                Unavailable,
                "it takes no writes: it is a standby or set read-only, so name the primary, or all servers as host1,host2".into(),
            ),
            "53100" => (Resources, format!("its disk is full: make room there ({message})")),
            "53200" | "53400" => (Resources, format!("it has run out of something: see its log ({message})")),
            "53300" => (
                Unavailable,
                format!("it has no connection left: raise its max_connections, lower `connections` ({} here), or put PgBouncer in front ({message})", self.connections),
            ),
            "57P01" | "57P02" | "57P05" => (Unavailable, format!("it is shutting down or has closed the connection: try again when it is back ({message})")),
            "57P03" => (Unavailable, format!("it is starting or shutting down: try again in a moment ({message})")),
            "57P04" => (Denied, format!("the database {database:?} was dropped: make it again, then {init}")),
            "57014" => (Unavailable, format!("a statement was cancelled there, by an operator or its statement_timeout ({message}): raise that limit for this role")),
            "55P03" | "40001" | "40P01" => (Unavailable, format!("a statement met another one: try again ({message})")),
            "22021" | "22P05" => (Denied, format!("the text cannot be stored: a database in UTF-8 is needed, and no text may have a NUL ({message})")),
            code if code.starts_with("XX") => (Unreadable, format!("its data may be damaged: see its log before anything else ({message})")),
            code if code.starts_with("08") => (Unavailable, format!("the connection failed: see that the server, or the pooler in front of it, is well ({message})")),
            code if code.starts_with("53") => (Resources, format!("it has run out of something: see its log ({message})")),
            code if code.starts_with("57") || code.starts_with("58") => (Unavailable, format!("it cannot answer: see its log ({message})")),
            code => (Unreadable, format!("{message} ({code}); see its log")),
        }
    }
}

/// Whether the same statement may succeed at once: the connection was closed while it waited, or two statements met.
pub fn is_worth_a_repetition(failure: &Failure) -> bool {
    let Failure::Said { error, was_idle } = failure else {
        return false;
    };
    match error.code() {
        Some(code) => match code.code() {
            "40001" | "40P01" => true,
            // Statements that were prepared before the schema was changed.
            "26000" | "0A000" => *was_idle,
            "25006" | "57P01" | "57P02" | "57P05" | "08P01" | "08006" | "08003" => *was_idle,
            _ => false,
        },
        None => *was_idle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_the_server_has_its_kind_and_its_remedy() {
        let explains = Explains {
            place: "db:5432".into(),
            user: "me".into(),
            database: "agents".into(),
            schema: "plexum".into(),
            has_password: true,
            is_verified: true,
            connections: 8,
            answer_limit: Duration::from_secs(5),
        };
        for (code, message, kind, remedy) in [
            (
                "28P01",
                "password authentication failed for user \"me\"",
                Denied,
                "correct it where it is set",
            ),
            (
                "28000",
                "no pg_hba.conf entry for host \"::1\"",
                Denied,
                "pg_hba.conf",
            ),
            (
                "28000",
                "role \"me\" does not exist",
                Denied,
                "may not log in",
            ),
            (
                "3D000",
                "database \"agents\" does not exist",
                Denied,
                "createdb agents",
            ),
            (
                "42501",
                "permission denied for database agents",
                Denied,
                "grant create on database agents to me",
            ),
            (
                "42704",
                "role \"host\" does not exist",
                Denied,
                "make it first",
            ),
            (
                "42501",
                "permission denied for table conversation",
                Denied,
                "fleet init --grant-to me",
            ),
            (
                "3F000",
                "schema \"plexum\" does not exist",
                Unreadable,
                "fleet init",
            ),
            (
                "42P01",
                "relation \"plexum.conversation\" does not exist",
                Unreadable,
                "fleet init",
            ),
            (
                "42883",
                "function plexum.acquire does not exist",
                Unreadable,
                "fleet init",
            ),
            (
                "25006",
                "cannot execute UPDATE in a read-only transaction",
                Unavailable,
                "name the primary",
            ),
            (
                "53100",
                "could not extend file: No space left on device",
                Resources,
                "make room",
            ),
            ("53200", "out of memory", Resources, "see its log"),
            (
                "53300",
                "sorry, too many clients already",
                Unavailable,
                "max_connections",
            ),
            (
                "57P01",
                "terminating connection due to administrator command",
                Unavailable,
                "when it is back",
            ),
            (
                "57P02",
                "terminating connection because of crash of another server process",
                Unavailable,
                "when it is back",
            ),
            (
                "57P03",
                "the database system is starting up",
                Unavailable,
                "in a moment",
            ),
            (
                "57014",
                "canceling statement due to statement timeout",
                Unavailable,
                "statement_timeout",
            ),
            (
                "40001",
                "could not serialize access",
                Unavailable,
                "try again",
            ),
            (
                "08P01",
                "server login has been failing",
                Unavailable,
                "pooler",
            ),
            (
                "22021",
                "invalid byte sequence for encoding \"UTF8\": 0x00",
                Denied,
                "NUL",
            ),
            ("XX001", "invalid page in block 0", Unreadable, "damaged"),
            ("58030", "could not fsync file", Unavailable, "see its log"),
            ("42601", "syntax error", Unreadable, "42601"),
        ] {
            let (found, text) = explains.by_code(&SqlState::from_code(code), message);
            assert_eq!(found, kind, "{code}: {text}");
            assert!(text.contains(remedy), "{code}: {text}");
            let sentence = explains.sentence(found, &text).message;
            assert!(
                sentence.starts_with("PostgreSQL at db:5432: ") && sentence.ends_with('.'),
                "{sentence}"
            );
        }
    }
}
