//! The session store of a fleet.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::clock::Moment;
use super::codex_here::CodexHere;
use super::handle::{Handle, keeper_is_gone};
use super::keeper::{Keeper, within};
use super::key;
use super::prefixes::Prefixes;
use super::store::{Acquisition, FleetStore, Held, Holder, Owner};
use crate::config::Config;
use crate::session::lock;
use crate::session::place::{at, blocking};
use crate::session::state::State;
use crate::session::store::{
    Acquired, SessionError, SessionErrorKind, SessionKey, SessionStore, StoreFuture,
};
use crate::telemetry::fleet::{FleetMeter, FleetMetrics};

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

/// Keeps conversations in a store that the hosts of a fleet share. Cheap to clone; make one per process.
#[derive(Clone)]
pub struct Fleet {
    pub(super) shared: Arc<Shared>,
}

/// What all conversations of this process share.
pub struct Shared {
    pub store: Arc<dyn FleetStore>,
    pub settings: FleetSettings,
    pub codex: CodexHere,
    pub prefixes: Prefixes,
    pub meter: FleetMeter,
    /// What the turns that wait here wait for.
    waits: Mutex<HashMap<String, Wait>>,
    /// How many conversations are kept now.
    kept: watch::Sender<usize>,
}

/// What a turn waits for.
enum Wait {
    /// Another host.
    Holder(Holder),
    /// Codex's record of the conversation.
    Record,
}

/// A conversation that is kept, for those who wait until none is.
struct Kept(Arc<Shared>);

impl Kept {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.kept.send_modify(|kept| *kept += 1);
        Kept(Arc::clone(shared))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.kept.send_modify(|kept| *kept -= 1);
    }
}

impl Fleet {
    /// A host of a fleet, for turns under this configuration.
    ///
    /// # Errors
    /// If the lease is too short to stop codex in time.
    pub fn new(
        store: impl FleetStore,
        settings: FleetSettings,
        config: &Config,
    ) -> Result<Self, SessionError> {
        let shortest = FleetSettings::shortest_lease(settings.grace);
        if settings.lease < shortest {
            let message = format!(
                "a lease of {:?} is too short to stop codex within it (`limits.grace_seconds`): it must be {shortest:?} or longer",
                settings.lease
            );
            return Err(SessionError::new(SessionErrorKind::Denied, message));
        }
        Ok(Fleet {
            shared: Arc::new(Shared {
                store: Arc::new(store),
                settings,
                codex: CodexHere::new(config),
                prefixes: Prefixes::default(),
                meter: FleetMeter::default(),
                waits: Mutex::default(),
                kept: watch::Sender::default(),
            }),
        })
    }

    /// How a conversation is named in the store.
    #[must_use]
    pub fn key(key: &SessionKey) -> String {
        key::of(key)
    }
}

impl SessionStore for Fleet {
    fn acquire<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Acquired> {
        Box::pin(async {
            let (reply, answer) = oneshot::channel();
            let (shared, key) = (Arc::clone(&self.shared), key.clone());
            // A task of its own: a lease that was given to a turn that did not wait for it must be given back.
            tokio::spawn(host(shared, key, reply).in_current_span());
            answer.await.map_err(|_| keeper_is_gone())?
        })
    }

    fn holder(&self, key: &SessionKey) -> Option<String> {
        Some(match self.shared.waits().get(&key::of(key))? {
            Wait::Holder(Holder { host, held_for, .. }) => {
                let seconds = held_for.as_secs();
                format!("the host {host} has it now, for {seconds} s so far")
            }
            Wait::Record => "codex's record of it is being fetched from the store".to_owned(),
        })
    }

    fn metrics(&self) -> FleetMetrics {
        self.shared.meter.read()
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut kept = self.shared.kept.subscribe();
        Box::pin(async move {
            // The sender is this one's own.
            let _none = kept.wait_for(|kept| *kept == 0).await;
        })
    }
}

impl Shared {
    fn waits(&self) -> MutexGuard<'_, HashMap<String, Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Reply = oneshot::Sender<Result<Acquired, SessionError>>;

/// Acquires a conversation and keeps it.
async fn host(shared: Arc<Shared>, key: SessionKey, mut reply: Reply) {
    let _kept = Kept::new(&shared);
    let name = key::of(&key);
    let taken = async {
        // Before the lease: asking codex for its version takes a while.
        let home = shared.codex_home(&key)?;
        let version = shared.codex.version().await?;
        let taken = take(&shared, &name, &mut reply).await?;
        Ok(taken.map(|taken| (taken, home, version)))
    };
    let taken = taken.await;
    let ((lock, lease), home, version) = match taken {
        Ok(Some(taken)) => taken,
        Ok(None) => {
            shared.waits().remove(&name);
            return;
        }
        Err(error) => {
            shared.waits().remove(&name);
            refuse(reply, error);
            return;
        }
    };
    let HeldLease { held, asked } = lease;
    let mut keeper = Keeper::new(Arc::clone(&shared), &held, asked, home, version);
    shared.waits().insert(name.clone(), Wait::Record);
    let is_own = held.last_host.as_ref() == Some(&shared.settings.host);
    let begun = tokio::select! {
        begun = keeper.begin(held.thread, is_own) => Some(begun),
        () = reply.closed() => None,
    };
    shared.waits().remove(&name);
    let entry = match begun {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => {
            keeper.release().await;
            refuse(reply, error);
            return;
        }
        None => {
            keeper.release().await;
            return;
        }
    };
    let (handle, asked) = Handle::new(lock);
    // If the turn is gone, so is the handle, and the keeper finishes at once.
    if reply.send(Ok(Acquired::new(handle, entry))).is_err() {
        tracing::debug!("a turn did not wait for its conversation");
    }
    keeper.keep(asked).await;
}

fn refuse(reply: Reply, error: SessionError) {
    if let Err(Err(error)) = reply.send(Err(error)) {
        tracing::debug!(%error, "a turn did not wait for its conversation");
    }
}

/// A lease that was given.
pub struct HeldLease {
    /// It, and what is kept.
    pub held: Held,
    /// When it was asked for.
    pub asked: Moment,
}

/// Waits for the conversation, first on this host and then in the store. `None`: the turn has given up.
pub async fn take<T>(
    shared: &Shared,
    name: &str,
    reply: &mut oneshot::Sender<T>,
) -> Result<Option<(File, HeldLease)>, SessionError> {
    let file = format!("{:x}.lock", Sha256::digest(name));
    let path = shared.settings.locks.join(file);
    let opened = {
        let path = path.clone();
        blocking(move || lock_file(&path))
    };
    let lock = opened.await?;
    tokio::select! {
        locked = lock::wait(&lock, &path) => locked?,
        () = reply.closed() => return Ok(None),
    }
    let taken = lease_of(shared, name, reply).await?;
    Ok(taken.map(|taken| (lock, taken)))
}

/// Waits for the lease of a conversation. `None`: nobody waits for the reply any more.
pub async fn lease_of<T>(
    shared: &Shared,
    name: &str,
    reply: &mut oneshot::Sender<T>,
) -> Result<Option<HeldLease>, SessionError> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let lasts = shared.settings.lease;
    loop {
        let random = random()?;
        let owner = Owner {
            id: format!("{random:032x}"),
            host: shared.settings.host.clone(),
        };
        // Not given up half way: the lease might be given all the same.
        let ask = || async {
            let asked = Moment::now();
            let acquired = shared.store.acquire(name, &owner, lasts);
            within(asked.after(lasts), acquired)
                .await
                .map(|acquired| (acquired, asked))
        };
        let (acquired, asked) = match ask().await {
            // The answer may be lost, and not the lease: the same owner is given it again.
            Err(error) if error.kind == SessionErrorKind::Unavailable => {
                tracing::warn!(%error, "the session store is asked again");
                ask().await?
            }
            asked => asked?,
        };
        match acquired {
            Acquisition::Held(held) => {
                shared.meter.taken(began.elapsed());
                tracing::debug!(
                    key = name,
                    fence = held.lease.fence,
                    "the lease of a conversation was given"
                );
                return Ok(Some(HeldLease { held, asked }));
            }
            Acquisition::Busy(holder) => {
                shared.waits().insert(name.to_owned(), Wait::Holder(holder));
            }
        };
        // Several that wait are not to ask in step.
        let jitter = pause.mul_f64((random % 256) as f64 / 512.0);
        tokio::select! {
            () = tokio::time::sleep(pause + jitter) => {}
            () = reply.closed() => return Ok(None),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How long to wait before a lease that another host has is asked for again; each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(u128::from_ne_bytes(bytes))
}

/// Opens the file whose lock keeps other processes of this host out.
fn lock_file(path: &Path) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
    };
    let opened = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| at(folder, "cannot be made", error))?;
            open()
        }
        opened => opened,
    };
    opened.map_err(|error| at(path, "cannot be opened", error))
}
