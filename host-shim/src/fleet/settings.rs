//! How a host takes part in a fleet.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Config;
use crate::session::state::State;

/// How a host takes part in a fleet. Begin with [`FleetSettings::of`] and change what differs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FleetSettings {
    /// This host's name: people read it, and a conversation whose last turn was on a host of this name may have its latest
    /// lines there. So it should be the same after a restart, and no other host's.
    pub host: String,
    /// How long a lease lasts that is not renewed: for so long, others wait for a host that has died.
    pub lease: Duration,
    /// How long codex may take to end when it is stopped; see `limits.grace_seconds`.
    pub grace: Duration,
    /// A larger record is not kept.
    pub max_record_bytes: u64,
    /// Codex's home, where it keeps its records; `None`: as the environment that codex gets says.
    pub codex_home: Option<PathBuf>,
    /// A folder of this user's for the locks that keep other processes of this host out of a conversation whose codex still
    /// runs. It is made if it is missing.
    pub locks: PathBuf,
}

impl FleetSettings {
    /// For turns under this configuration: the system's host name, a lease of 20 seconds, records of at most 512 MiB, and
    /// locks in the state folder of this user.
    ///
    /// # Errors
    /// If there is no home folder.
    pub fn of(config: &Config) -> io::Result<Self> {
        let state = State::default_path().ok_or_else(|| {
            io::Error::other(
                "neither XDG_STATE_HOME nor HOME is set, so there is no folder for locks: set one",
            )
        })?;
        Ok(FleetSettings {
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            lease: Duration::from_secs(20),
            grace: config.limits.grace(),
            max_record_bytes: 512 << 20,
            codex_home: None,
            locks: state.join("fleet"),
        })
    }

    /// What is left of a lease when codex must be gone.
    pub(super) fn margin(&self) -> Duration {
        (self.lease / 10).clamp(Duration::from_millis(200), Duration::from_secs(2))
    }

    /// The shortest lease in which codex can be stopped in time.
    #[must_use]
    pub fn shortest_lease(grace: Duration) -> Duration {
        // A third of it may pass until it is renewed, and once more if that fails.
        (grace + Duration::from_millis(500)) * 2
    }
}
