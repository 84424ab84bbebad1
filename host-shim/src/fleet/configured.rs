//! The fleet that a configuration names.

use std::io;
use std::time::Duration;

use super::postgres::{PostgresStore, Settings};
use super::{Fleet, FleetSettings};
use crate::config::{Config, DatabaseUrl, PostgresSessions};
use crate::session::store::{SessionError, SessionErrorKind};

/// The PostgreSQL that a configuration names (`sessions.postgres`), if it names one.
#[must_use]
pub fn postgres_of(config: &Config) -> Option<Settings> {
    let PostgresSessions {
        url,
        url_file,
        schema,
        connections,
        prepared,
        ..
    } = config.sessions.postgres.as_ref()?;
    Some(Settings {
        url: url.as_ref().map(DatabaseUrl::reveal).map(str::to_owned),
        url_file: url_file.clone(),
        schema: schema.clone(),
        connections: Some(*connections),
        prepared: *prepared,
        ..Settings::default()
    })
}

/// This host's part in the fleet that a configuration names, if it names one.
///
/// # Errors
/// If its settings, or those of the environment, are not understood.
pub fn fleet_of(config: &Config) -> Result<Option<Fleet>, SessionError> {
    let (Some(place), Some(postgres)) = (postgres_of(config), &config.sessions.postgres) else {
        return Ok(None);
    };
    let store = PostgresStore::new(&place)?;
    let no_folder =
        |error: io::Error| SessionError::new(SessionErrorKind::Denied, error.to_string());
    let mut settings = FleetSettings::of(config).map_err(no_folder)?;
    settings.lease = Duration::from_secs(postgres.lease_seconds.into());
    settings.max_record_bytes = u64::from(postgres.max_record_mib) << 20;
    if let Some(host) = &postgres.host {
        settings.host.clone_from(host);
    }
    Fleet::new(store, settings, config).map(Some)
}
