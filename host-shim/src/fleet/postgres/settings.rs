//! Where PostgreSQL is and who asks: the configuration, then the environment variables that libpq reads.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};

use super::password::{self, Login};
use super::settings_error::SettingsError;
use super::url::{self, Parameters};
use crate::config::nearest::did_you_mean;

/// The schema that conversations are in, unless the configuration names another one.
pub const SCHEMA: &str = "plexum";

/// Connections at most, unless the configuration says how many.
pub const CONNECTIONS: u32 = 8;

/// How long a statement may take, unless the configuration says how long.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long a connection stays open that nothing is asked over, unless the configuration says how long.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// What an operator may set. What is not set comes from the environment variables of libpq: PGHOST, PGPORT, PGUSER,
/// PGDATABASE, PGPASSWORD, PGPASSFILE, PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, PGAPPNAME, PGCONNECT_TIMEOUT,
/// PGTARGETSESSIONATTRS and PGCHANNELBINDING.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// `postgres://user:password@host:port/database?parameter=value`.
    pub url: Option<String>,
    /// A file with such a URL, if it holds a password that the configuration should not.
    pub url_file: Option<PathBuf>,
    /// The schema of the tables.
    pub schema: Option<String>,
    /// How many connections this process opens at most.
    pub connections: Option<u32>,
    /// How long a statement may take, the wait for a connection included.
    pub answer_limit: Option<Duration>,
    /// Whether the server keeps the statements of each connection, which spares it a fifth of its work. Only where nothing
    /// is in between: a pooler that does not know such statements may run another client's.
    pub prepared: bool,
    /// How long a connection stays open that nothing is asked over. One stays for ever.
    pub idle_limit: Option<Duration>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Settings")
            // It may hold a password.
            .field("url", &self.url.as_ref().map(|_| "…"))
            .field("url_file", &self.url_file)
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .field("answer_limit", &self.answer_limit)
            .field("idle_limit", &self.idle_limit)
            .field("prepared", &self.prepared)
            .finish()
    }
}

/// How the server is made sure of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not at all, and what is said can be read on the way.
    Disabled,
    /// Its certificate must be of an authority that is trusted, and of the name that was asked for.
    Verified {
        /// The authorities that are trusted instead of the system's.
        roots: Option<PathBuf>,
        /// The certificate that this host shows, and its key.
        own: Option<(PathBuf, PathBuf)>,
    },
}

/// Where and how to connect. Its text names the place, without the password.
pub(super) struct Target {
    pub config: tokio_postgres::Config,
    pub tls: Tls,
    pub schema: String,
    pub connections: usize,
    pub answer_limit: Duration,
    pub idle_limit: Duration,
    pub prepared: bool,
    pub place: String,
    pub user: String,
    pub database: String,
}

/// The parameters that are understood: libpq's name, and the environment variable.
const PARAMETERS: [(&str, &str); 19] = [
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("dbname", "PGDATABASE"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("keepalives", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("keepalives_count", ""),
    ("tcp_user_timeout", ""),
];

/// Where Debian's and most other servers have their sockets.
const SOCKETS: &str = "/var/run/postgresql";

/// A parameter, and where it was set.
struct Set {
    value: String,
    by: String,
}

impl Set {
    fn wrong(&self, must: &str) -> SettingsError {
        SettingsError::new(format!("{} is {:?}, but {must}.", self.by, self.value))
    }

    fn number<N: std::str::FromStr>(&self, must: &str) -> Result<N, SettingsError> {
        self.value.trim().parse().map_err(|_| self.wrong(must))
    }
}

/// All parameters of a connection.
struct Given<'a> {
    url: Parameters,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Given<'_> {
    fn get(&self, name: &str) -> Option<Set> {
        if let Some(value) = self.url.get(name) {
            return Some(Set {
                value: value.clone(),
                by: format!("The {name} in the URL of PostgreSQL"),
            });
        }
        let (_, variable) = PARAMETERS.iter().find(|(known, _)| *known == name)?;
        let value = (self.environment)(variable).filter(|value| !value.is_empty())?;
        Some(Set {
            value,
            by: (*variable).to_owned(),
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|set| set.value)
    }
}

impl Settings {
    /// Whether they are understood, also those of this process's environment. Nothing is connected to.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.target(&process_environment).map(|_| ())
    }

    pub(super) fn target(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Target, SettingsError> {
        let given = Given {
            url: self.parameters()?,
            environment,
        };
        let schema = self.schema.clone().unwrap_or_else(|| SCHEMA.to_owned());
        if !is_identifier(&schema) {
            return Err(SettingsError::new(format!(
                "The schema {schema:?} is not a name that PostgreSQL takes unquoted: use lower-case letters, digits and _, at most 63, and no digit first."
            )));
        }
        let connections = self.connections.unwrap_or(CONNECTIONS);
        if !(1..=1000).contains(&connections) {
            return Err(SettingsError::new(format!(
                "{connections} connections to PostgreSQL are not possible: from 1 to 1000 are, and {CONNECTIONS} are usual."
            )));
        }
        let answer_limit = self.answer_limit.unwrap_or(ANSWER_LIMIT);
        let user = given
            .text("user")
            .or_else(|| environment("USER"))
            .or_else(|| environment("LOGNAME"))
            .filter(|user| !user.is_empty())
            .ok_or_else(|| {
                SettingsError::new(
                    "Nothing says as which user to log in to PostgreSQL: name one in the URL, postgres://user@host/database, or in PGUSER.",
                )
            })?;
        let database = given.text("dbname").unwrap_or_else(|| user.clone());

        let mut config = tokio_postgres::Config::new();
        config.user(&user).dbname(&database);
        let name = given.text("application_name");
        config.application_name(name.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned()));
        let hosts = hosts(&given)?;
        for (host, port) in &hosts {
            if host.starts_with('/') {
                config.host_path(host);
            } else {
                config.host(host);
            }
            config.port(*port);
        }
        timeouts(&given, &mut config, answer_limit)?;
        let tls = tls(&given, &hosts)?;
        config.ssl_mode(match tls {
            Tls::Disabled => SslMode::Disable,
            Tls::Verified { .. } => SslMode::Require,
        });
        session(&given, &mut config, hosts.len())?;
        if let Some(password) = password(&given, &hosts, &database, &user)? {
            config.password(password);
        }
        let places = hosts.iter().map(|(host, port)| match host.as_str() {
            socket if socket.starts_with('/') => format!("{socket}/.s.PGSQL.{port}"),
            address if address.contains(':') => format!("[{address}]:{port}"),
            name => format!("{name}:{port}"),
        });
        Ok(Target {
            place: places.collect::<Vec<_>>().join(", "),
            config,
            tls,
            schema,
            connections: connections as usize,
            answer_limit,
            idle_limit: self.idle_limit.unwrap_or(IDLE_LIMIT),
            prepared: self.prepared,
            user,
            database,
        })
    }

    fn parameters(&self) -> Result<Parameters, SettingsError> {
        let from_file;
        let url = match (&self.url, &self.url_file) {
            (Some(_), Some(_)) => {
                return Err(SettingsError::new(
                    "PostgreSQL has both a `url` and a `url_file`: leave one of them out.",
                ));
            }
            (Some(url), None) => url,
            (None, Some(path)) => {
                from_file = read_url(path)?;
                &from_file
            }
            (None, None) => return Ok(Parameters::new()),
        };
        let parameters = url::parameters(url.trim())?;
        let known = || PARAMETERS.iter().map(|(name, _)| *name);
        match parameters
            .keys()
            .find(|name| known().all(|known| known != *name))
        {
            Some(unknown) => Err(SettingsError::new(format!(
                "The URL of PostgreSQL has a parameter {unknown:?}, which is not known here{}",
                match did_you_mean(unknown, known()) {
                    none if none.is_empty() =>
                        format!(". Known are: {}.", known().collect::<Vec<_>>().join(", ")),
                    question => question,
                }
            ))),
            None => Ok(parameters),
        }
    }
}

/// A variable of this process.
pub(super) fn process_environment(name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    std::env::var(name).ok()
}

fn read_url(path: &Path) -> Result<String, SettingsError> {
    let text = fs::read_to_string(path).map_err(|error| {
        SettingsError::new(format!(
            "The file with the URL of PostgreSQL, {}, cannot be read: {error}.",
            path.display()
        ))
    })?;
    if text.trim().is_empty() {
        return Err(SettingsError::new(format!(
            "The file with the URL of PostgreSQL, {}, is empty: write postgres://user:password@host/database into it.",
            path.display()
        )));
    }
    Ok(text)
}

/// Whether PostgreSQL takes this for a name as it is.
fn is_identifier(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.starts_with("pg_")
}

fn hosts(given: &Given<'_>) -> Result<Vec<(String, u16)>, SettingsError> {
    let default = || {
        let socket = Path::new(SOCKETS).is_dir();
        (if socket { SOCKETS } else { "localhost" }).to_owned()
    };
    let named = given.text("host").unwrap_or_else(default);
    let names: Vec<&str> = named.split(',').map(str::trim).collect();
    let ports = match given.get("port") {
        None => vec![5432],
        Some(set) => {
            let port = |text: &str| match text.trim() {
                "" => Ok(5432),
                text => match text.parse::<u16>() {
                    Ok(port) if port > 0 => Ok(port),
                    _ => Err(set.wrong("a port is a number from 1 to 65535")),
                },
            };
            let ports = set.value.split(',').map(port);
            ports.collect::<Result<Vec<u16>, _>>()?
        }
    };
    if ports.len() != 1 && ports.len() != names.len() {
        return Err(SettingsError::new(format!(
            "PostgreSQL has {} hosts and {} ports: give one port for all of them, or one for each.",
            names.len(),
            ports.len()
        )));
    }
    let first = ports.first().copied().unwrap_or(5432);
    let paired = names.iter().enumerate().map(|(number, name)| {
        let name = if name.is_empty() {
            default()
        } else {
            (*name).to_owned()
        };
        (name, ports.get(number).copied().unwrap_or(first))
    });
    Ok(paired.collect())
}

fn tls(given: &Given<'_>, hosts: &[(String, u16)]) -> Result<Tls, SettingsError> {
    let sockets = hosts
        .iter()
        .filter(|(host, _)| host.starts_with('/'))
        .count();
    // Who may connect to a socket, the file system says, and nobody listens.
    if sockets == hosts.len() {
        return Ok(Tls::Disabled);
    }
    let mode = given.get("sslmode");
    let value = mode.as_ref().map_or("verify-full", |set| set.value.trim());
    match value {
        "disable" => return Ok(Tls::Disabled),
        // Stricter than libpq, which with these two does not look at the name, or at nothing.
        "verify-full" | "verify-ca" | "require" => {}
        "prefer" | "allow" => {
            let must = "that would let a server go without encryption unnoticed: say verify-full, with sslrootcert=FILE if the server's certificate is of an authority of your own, or disable for a network that nobody else is on";
            return Err(mode.map_or_else(|| SettingsError::new(must), |set| set.wrong(must)));
        }
        other => {
            let must = format!(
                "it must be verify-full or disable{}",
                did_you_mean(other, ["verify-full", "disable"]).trim_end_matches('?')
            );
            return Err(
                mode.map_or_else(|| SettingsError::new(must.clone()), |set| set.wrong(&must))
            );
        }
    }
    if sockets > 0 {
        return Err(SettingsError::new(
            "PostgreSQL has hosts with and without TLS, a socket beside a name: name only one of them, or set sslmode=disable.",
        ));
    }
    let roots = given
        .text("sslrootcert")
        .filter(|path| path != "system")
        .map(PathBuf::from);
    let own = match (given.text("sslcert"), given.text("sslkey")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        _ => {
            return Err(SettingsError::new(
                "PostgreSQL has only one of sslcert and sslkey: a certificate of this host's own needs its key too.",
            ));
        }
    };
    Ok(Tls::Verified { roots, own })
}

fn timeouts(
    given: &Given<'_>,
    config: &mut tokio_postgres::Config,
    answer_limit: Duration,
) -> Result<(), SettingsError> {
    let seconds = |name: &str, default: u64| match given.get(name) {
        None => Ok(Duration::from_secs(default)),
        Some(set) => set
            .number("it must be a number of seconds")
            .map(Duration::from_secs),
    };
    let connect = seconds("connect_timeout", 0)?;
    // libpq waits for ever then.
    config.connect_timeout(if connect.is_zero() {
        answer_limit
    } else {
        connect
    });
    // A peer that is gone is noticed after half a minute; until then a statement has its own limit.
    config.keepalives(
        given
            .text("keepalives")
            .is_none_or(|value| value.trim() != "0"),
    );
    config.keepalives_idle(seconds("keepalives_idle", 15)?);
    config.keepalives_interval(seconds("keepalives_interval", 5)?);
    let count = match given.get("keepalives_count") {
        None => 3,
        Some(set) => set.number("it must be a number")?,
    };
    config.keepalives_retries(count);
    let unacknowledged = match given.get("tcp_user_timeout") {
        None => 15_000,
        Some(set) => set.number("it must be a number of milliseconds")?,
    };
    config.tcp_user_timeout(Duration::from_millis(unacknowledged));
    Ok(())
}

fn session(
    given: &Given<'_>,
    config: &mut tokio_postgres::Config,
    hosts: usize,
) -> Result<(), SettingsError> {
    let wanted = match given.get("target_session_attrs") {
        // Of several hosts one is the primary.
        None if hosts > 1 => TargetSessionAttrs::ReadWrite,
        None => TargetSessionAttrs::Any,
        Some(set) => match set.value.trim() {
            "any" => TargetSessionAttrs::Any,
            "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
            _ => {
                return Err(
                    set.wrong("it must be any or read-write, since conversations are written")
                );
            }
        },
    };
    config.target_session_attrs(wanted);
    let binding = match given.get("channel_binding") {
        None => ChannelBinding::Prefer,
        Some(set) => match set.value.trim() {
            "prefer" => ChannelBinding::Prefer,
            "require" => ChannelBinding::Require,
            "disable" => ChannelBinding::Disable,
            _ => return Err(set.wrong("it must be prefer, require or disable")),
        },
    };
    config.channel_binding(binding);
    Ok(())
}

/// The password: as it is given, or from the file of passwords.
fn password(
    given: &Given<'_>,
    hosts: &[(String, u16)],
    database: &str,
    user: &str,
) -> Result<Option<String>, SettingsError> {
    if let Some(password) = given.text("password") {
        return Ok(Some(password));
    }
    let named = given.text("passfile").map(PathBuf::from);
    let is_named = named.is_some();
    let in_home = || Some(PathBuf::from((given.environment)("HOME")?).join(".pgpass"));
    let Some(path) = named.or_else(in_home) else {
        return Ok(None);
    };
    // One password serves all hosts, as tokio-postgres has it.
    for (host, port) in hosts {
        let login = Login {
            // As libpq calls the usual socket.
            host: if host == SOCKETS { "localhost" } else { host },
            port: *port,
            database,
            user,
        };
        if let Some(password) = password::in_file(&path, is_named, login)? {
            return Ok(Some(password));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, environment: &[(&str, &str)]) -> Result<Target, SettingsError> {
        let settings = Settings {
            url: (!url.is_empty()).then(|| url.to_owned()),
            ..Settings::default()
        };
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        settings.target(&move |name| {
            let set = environment.iter().find(|(set, _)| set == name);
            set.map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn the_url_goes_before_the_environment() {
        let environment = [
            ("PGHOST", "elsewhere"),
            ("PGPORT", "6000"),
            ("PGUSER", "nobody"),
            ("PGDATABASE", "none"),
            ("PGPASSWORD", "hush"),
            ("PGSSLMODE", "disable"),
        ];
        let all = target("", &environment).unwrap();
        assert_eq!(
            (
                all.place.as_str(),
                all.user.as_str(),
                all.database.as_str(),
                &all.tls
            ),
            ("elsewhere:6000", "nobody", "none", &Tls::Disabled)
        );
        assert_eq!(all.config.get_password(), Some(&b"hush"[..]));
        let some = target("postgres://me@db/agents", &environment).unwrap();
        assert_eq!(
            (
                some.place.as_str(),
                some.user.as_str(),
                some.database.as_str()
            ),
            ("db:6000", "me", "agents")
        );
    }

    #[test]
    fn the_server_is_verified_unless_that_is_said() {
        let verified = |roots: Option<&str>| Tls::Verified {
            roots: roots.map(PathBuf::from),
            own: None,
        };
        for (url, expected) in [
            ("postgres://me@db/x", verified(None)),
            ("postgres://me@127.0.0.1/x", verified(None)),
            ("postgres://me@db/x?sslmode=require", verified(None)),
            (
                "postgres://me@db/x?sslmode=verify-ca&sslrootcert=/ca",
                verified(Some("/ca")),
            ),
            (
                "postgres://me@db/x?sslmode=verify-full&sslrootcert=system",
                verified(None),
            ),
            ("postgres://me@db/x?sslmode=disable", Tls::Disabled),
            ("postgres://me@%2Fsocket/x", Tls::Disabled),
            (
                "postgres://me@%2Fsocket/x?sslmode=verify-full",
                Tls::Disabled,
            ),
        ] {
            assert_eq!(target(url, &[]).unwrap().tls, expected, "{url}");
        }
    }

    #[test]
    fn a_mistake_is_one_sentence_with_its_remedy_and_no_password() {
        for (url, environment, expected) in [
            (
                "postgres://me:hush@db/x?sslmod=disable",
                None,
                "did you mean `sslmode`?",
            ),
            (
                "postgres://me:hush@db/x?frobnicate=1",
                None,
                "Known are: host",
            ),
            ("postgres://me:hush@db:54x/x", None, "from 1 to 65535"),
            ("postgres://me:hush@db:0/x", None, "from 1 to 65535"),
            ("postgres://me:hush@db:70000/x", None, "from 1 to 65535"),
            (
                "postgres://me:hush@a:1,b:2,c/x?port=1,2",
                None,
                "3 hosts and 2 ports",
            ),
            (
                "postgres://me:hush@db/x?sslmode=prefer",
                None,
                "say verify-full",
            ),
            (
                "postgres://me:hush@db/x?sslmode=allow",
                None,
                "say verify-full",
            ),
            (
                "postgres://me:hush@db/x?sslmode=verify_full",
                None,
                "did you mean `verify-full`",
            ),
            (
                "postgres://me:hush@db/x?sslcert=/c",
                None,
                "only one of sslcert and sslkey",
            ),
            (
                "postgres://me:hush@%2Fs,db/x",
                None,
                "a socket beside a name",
            ),
            (
                "postgres://me:hush@db/x?connect_timeout=soon",
                None,
                "a number of seconds",
            ),
            (
                "postgres://me:hush@db/x?target_session_attrs=standby",
                None,
                "any or read-write",
            ),
            (
                "postgres://me:hush@db/x?channel_binding=maybe",
                None,
                "prefer, require or disable",
            ),
            ("postgres://db/x?password=hush", None, "as which user"),
            (
                "postgres://me:hush@db/x",
                Some(("PGSSLMODE", "prefer")),
                "PGSSLMODE is \"prefer\"",
            ),
            (
                "postgres://me:hush@db/x",
                Some(("PGPORT", "http")),
                "PGPORT is \"http\"",
            ),
        ] {
            let environment: Vec<(&str, &str)> = environment.into_iter().collect();
            let said = target(url, &environment)
                .map(|_| ())
                .unwrap_err()
                .to_string();
            assert!(said.contains(expected), "{url}: {said}");
            assert!(!said.contains("hush"), "{url}: {said}");
            assert!(
                said.ends_with(['.', '?']) && !said.contains('\n'),
                "{url}: {said}"
            );
        }
    }

    #[test]
    fn of_several_hosts_the_primary_is_looked_for() {
        let several = target("postgres://me@a:1,b/x", &[]).unwrap();
        assert_eq!(several.place, "a:1, b:5432");
        let wanted = several.config.get_target_session_attrs();
        assert_eq!(wanted, TargetSessionAttrs::ReadWrite);
        let one = target("postgres://me@a/x", &[]).unwrap();
        assert_eq!(
            one.config.get_target_session_attrs(),
            TargetSessionAttrs::Any
        );
    }

    #[test]
    fn a_url_may_be_in_a_file_and_no_text_shows_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("url");
        let mut settings = Settings {
            url_file: Some(path.clone()),
            ..Settings::default()
        };
        let none = |_: &str| None;
        let missing = settings.target(&none).map(|_| ()).unwrap_err().to_string();
        assert!(missing.contains(path.to_str().unwrap()), "{missing}");
        fs::write(&path, "\n").unwrap();
        let empty = settings.target(&none).map(|_| ()).unwrap_err().to_string();
        assert!(empty.contains("is empty"), "{empty}");
        fs::write(&path, "postgres://me:hush@db/x\n").unwrap();
        let target = settings.target(&none).unwrap();
        assert_eq!(target.place, "db:5432");
        assert_eq!(target.config.get_password(), Some(&b"hush"[..]));
        settings.url = Some("postgres://me:hush@db/x".into());
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hush"), "{shown}");
        let both = settings.target(&none).map(|_| ()).unwrap_err().to_string();
        assert!(both.contains("leave one of them out"), "{both}");
    }

    #[test]
    fn a_schema_is_a_plain_name() {
        for (schema, is_good) in [
            ("plexum", true),
            ("_a1", true),
            ("", false),
            ("Plexum", false),
            ("a-b", false),
            ("1a", false),
            ("pg_a", false),
            ("a.b", false),
            (&*"a".repeat(64), false),
        ] {
            let settings = Settings {
                url: Some("postgres://me@db".into()),
                schema: Some(schema.into()),
                ..Settings::default()
            };
            assert_eq!(settings.target(&|_| None).is_ok(), is_good, "{schema:?}");
        }
    }
}
