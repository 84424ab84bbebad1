//! The codex of this host: where it keeps its records, and which version it is.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::codex::home::codex_home;
use crate::codex::query;
use crate::codex::version::Version;
use crate::config::Config;
use crate::grant::environment::EnvironmentRule;
use crate::grant::program::{PinnedProgram, Stamp};
use crate::session::store::{SessionError, SessionErrorKind};

/// The codex of this host, as a configuration names it.
#[derive(Clone)]
pub struct CodexHere {
    config: Arc<Config>,
    environment: Arc<[(OsString, OsString)]>,
    program: Arc<PinnedProgram>,
    /// Held while the program is asked, so that many turns ask once.
    known: Arc<Mutex<Option<Known>>>,
}

/// What the program said.
struct Known {
    path: PathBuf,
    stamp: Stamp,
    version: Version,
    /// Until when that is believed; `None`: as long as the program is the same.
    until: Option<Instant>,
}

/// How long to believe a script: what it starts may change, and the script does not.
const BELIEVED: Duration = Duration::from_secs(60);

impl CodexHere {
    /// What turns under this configuration would start.
    pub fn new(config: &Config) -> Self {
        let environment = EnvironmentRule::new(&config.env);
        CodexHere {
            config: Arc::new(config.clone()),
            environment: environment.filter(std::env::vars_os()).collect(),
            program: Arc::default(),
            known: Arc::default(),
        }
    }

    /// Where it keeps its records.
    pub fn home(&self, workspace: &Path) -> Result<PathBuf, SessionError> {
        codex_home(&self.environment, workspace).ok_or_else(|| {
            let message = "neither CODEX_HOME nor HOME is set, so codex's record of the conversation cannot be found: set one";
            SessionError::new(SessionErrorKind::Unreadable, message)
        })
    }

    /// Its version; `None` if there is no codex, which the turn will say. The program is asked once, and again when it has
    /// changed; a script each minute.
    pub async fn version(&self) -> Result<Option<Version>, SessionError> {
        let (program, binary) = (Arc::clone(&self.program), self.config.binary.clone());
        let found = tokio::task::spawn_blocking(move || {
            let path = program.get(binary.as_deref()).ok()?;
            let stamp = Stamp::of(&path)?;
            let mut magic = [0; 4];
            let read = File::open(&path).and_then(|mut file| file.read_exact(&mut magic));
            let is_script = read.is_err() || magic != *b"\x7fELF";
            Some((path, stamp, is_script))
        });
        let mut known = self.known.lock().await;
        let Some((path, stamp, is_script)) = found.await.ok().flatten() else {
            return Ok(None);
        };
        if let Some(known) = &*known
            && known.path == path
            && known.stamp == stamp
            && known.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(Some(known.version));
        }
        let unknown = |kind, why: String| {
            let message = format!(
                "it is not known which version {} has, and an older codex must not go on with what a newer one has written: {why}; run `{} --version` by hand",
                path.display(),
                path.display()
            );
            SessionError::new(kind, message)
        };
        let answer = query::ask(&path, &["--version"], &self.config).await;
        // It may well answer the next time.
        let answer = answer.map_err(|error| unknown(SessionErrorKind::Resources, error.said))?;
        let version = Version::printed(&answer.stdout).ok_or_else(|| {
            let said = format!("it prints {:?}", answer.stdout.trim());
            unknown(SessionErrorKind::Incompatible, said)
        })?;
        *known = Some(Known {
            path,
            stamp,
            version,
            until: is_script.then(|| Instant::now() + BELIEVED),
        });
        Ok(Some(version))
    }
}
