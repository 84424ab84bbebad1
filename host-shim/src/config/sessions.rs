//! Where conversations are kept.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::Config;
use super::numbers::range_message;

/// The section `sessions`: where conversations are kept. Without it, each workspace keeps its own, on this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// In a PostgreSQL that machines share, so that each of them can go on with any conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresSessions>,
}

/// The section `sessions.postgres`: a PostgreSQL that machines share. Where it is, who logs in and with which password may
/// also come from the environment variables of PostgreSQL (`PGHOST`, `PGPASSFILE`, …) and from `~/.pgpass`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSessions {
    /// Where it is: `postgres://user@host:port/database?parameter=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<DatabaseUrl>,
    /// A file that holds the URL, an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = super::schema::PATH)))]
    pub url_file: Option<PathBuf>,
    /// The schema that the tables are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// This host's name in the store, if it is not to be that of the system. It must be the same after a restart, and no
    /// other host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// For how many seconds a host has a conversation that it does not renew. So long, others wait for one that has died.
    #[cfg_attr(feature = "schema", schemars(range(min = LEASE_SECONDS.0, max = LEASE_SECONDS.1)))]
    pub lease_seconds: u32,
    /// How many connections one process opens at most.
    #[cfg_attr(feature = "schema", schemars(range(min = CONNECTIONS.0, max = CONNECTIONS.1)))]
    pub connections: u32,
    /// Whether PostgreSQL keeps this program's statements prepared, which spares it a fifth of its work. Only for a PostgreSQL
    /// without a pooler in front.
    pub prepared: bool,
    /// How large codex's record of a conversation may become, in MiB.
    #[cfg_attr(feature = "schema", schemars(range(min = RECORD_MIB.0, max = RECORD_MIB.1)))]
    pub max_record_mib: u32,
}

const LEASE_SECONDS: (u32, u32) = (2, 3600);
const CONNECTIONS: (u32, u32) = (1, 1000);
const RECORD_MIB: (u32, u32) = (1, 65_536);

impl Default for PostgresSessions {
    fn default() -> Self {
        PostgresSessions {
            url: None,
            url_file: None,
            schema: None,
            host: None,
            lease_seconds: 20,
            connections: 8,
            prepared: false,
            max_record_mib: 512,
        }
    }
}

/// The URL of a database. It may hold a password, so it is never shown: where it is printed or serialized, dots stand for
/// it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// This one.
    pub fn new(url: impl Into<String>) -> Self {
        DatabaseUrl(url.into())
    }

    /// It, with the password.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What is shown of a URL.
const HIDDEN: &str = "…";

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl PostgresSessions {
    /// The keys that break a rule, and what is wrong with each.
    pub(super) fn broken(&self, config: &Config) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for (key, (low, high), value) in [
            ("lease_seconds", LEASE_SECONDS, self.lease_seconds),
            ("connections", CONNECTIONS, self.connections),
            ("max_record_mib", RECORD_MIB, self.max_record_mib),
        ] {
            if !(low..=high).contains(&value) {
                found.push((key, range_message(low, high, value)));
            }
        }
        let grace = config.limits.grace_seconds;
        // Half of a lease passes before a host that cannot renew it stops codex.
        let shortest = grace.saturating_mul(2).saturating_add(1);
        if self.lease_seconds < shortest && found.is_empty() {
            found.push((
                "lease_seconds",
                format!(
                    "codex could not be stopped in time if the lease cannot be renewed: write {shortest} or more, or lower `limits.grace_seconds`, which is {grace}"
                ),
            ));
        }
        let busy = config.limits.busy_seconds;
        if self.lease_seconds >= busy && found.is_empty() {
            found.push((
                "lease_seconds",
                format!(
                    "turns would not wait long enough for the lease of a host that has died to end: write less than `limits.busy_seconds`, which is {busy}, or raise that"
                ),
            ));
        }
        if self.url.is_some() && self.url_file.is_some() {
            found.push((
                "url_file",
                "there is a `url` too: remove one of them".to_owned(),
            ));
        }
        if let Some(path) = &self.url_file
            && !path.is_absolute()
        {
            let path = path.display().to_string();
            let message = if path.contains("://") {
                // It may hold a password.
                "takes the path of a file that holds the URL: write the URL itself as `url`"
                    .to_owned()
            } else {
                format!("{path:?} is not an absolute path: write one")
            };
            found.push(("url_file", message));
        }
        if self.host.as_ref().is_some_and(|host| {
            host.trim().is_empty() || host.len() > 255 || host.contains(char::is_control)
        }) {
            let message = "must be a name of at most 255 bytes, without control characters";
            found.push(("host", message.to_owned()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_never_shown() {
        let sessions = PostgresSessions {
            url: Some(DatabaseUrl::new("postgres://agent:secret@db/plexum")),
            ..PostgresSessions::default()
        };
        let shown = format!("{sessions:?} {}", serde_json::to_string(&sessions).unwrap());
        assert!(
            shown.contains(HIDDEN) && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn a_file_may_name_a_url_which_an_error_does_not_show() {
        let parse = |text: &str| {
            let path = std::path::Path::new("config.json");
            Config::parse(path, text)
        };
        let url = "postgres://agent:secret@db/plexum";
        let file = parse(&format!(
            r#"{{ "sessions": {{ "postgres": {{ "url": "{url}" }} }} }}"#
        ))
        .unwrap();
        let postgres = file.sessions.postgres.unwrap();
        assert_eq!(postgres.url.unwrap().reveal(), url);
        // In the wrong place.
        for text in [
            format!(r#"{{ "sessions": {{ "postgres": "{url}" }} }}"#),
            format!(r#"{{ "sessions": "{url}" }}"#),
            format!(r#"{{ "sessions": {{ "postgres": {{ "connections": "{url}" }} }} }}"#),
            format!(r#"{{ "sessions": {{ "postgres": {{ "url_file": "{url}" }} }} }}"#),
            format!(r#"{{ "args": "{url}" }}"#),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
