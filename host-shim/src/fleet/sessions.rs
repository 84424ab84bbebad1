//! The session store of a fleet.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::clock::Moment;
use super::codex_here::CodexHere;
use super::handle::{Handle, keeper_is_gone};
use super::keeper::{Keeper, within};
use super::key;
use super::settings::FleetSettings;
use super::shared::{Kept, Shared, Wait};
use super::store::{Acquisition, FleetStore, Held, Holder, Owner};
use crate::config::Config;
use crate::session::folder::Folder;
use crate::session::lock;
use crate::session::place::blocking;
use crate::session::store::{
    Acquired, SessionError, SessionErrorKind, SessionKey, SessionStore, StoreFuture,
};
use crate::telemetry::fleet::FleetMetrics;

/// Keeps conversations in a store that the hosts of a fleet share. Cheap to clone; make one per process.
#[derive(Clone)]
pub struct Fleet {
    pub(super) shared: Arc<Shared>,
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
            shared: Arc::new(Shared::new(store, settings, CodexHere::new(config))),
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
        Box::pin(self.shared.none_kept())
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
    let path = shared.settings.locks.join(&file);
    let locks = shared.settings.locks.clone();
    let opened = blocking(move || Folder::open_or_make(&locks)?.lock_file(&file));
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
