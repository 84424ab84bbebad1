//! What an operator does with the conversations of a fleet.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::keeper::Keeper;
use super::key;
use super::sessions::{Fleet, HeldLease, lease_of, take};
use super::settings::FleetSettings;
use super::store::{Change, FleetStore, Held, Then};
use crate::contract::thread_id::is_uuid;
use crate::session::store::{SessionEntry, SessionError, SessionErrorKind, SessionKey};

impl Fleet {
    /// How this host takes part.
    #[must_use]
    pub fn settings(&self) -> &FleetSettings {
        &self.shared.settings
    }

    /// The store of all hosts.
    #[must_use]
    pub fn store(&self) -> &dyn FleetStore {
        &*self.shared.store
    }

    /// Has the next turn of this conversation begin a new thread. Waits until no turn of it runs. The old one stays in the
    /// store until it is swept. Returns it, if there was one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_aside(&self, key: &SessionKey) -> Result<Option<SessionEntry>, SessionError> {
        // Nobody gives up but by dropping this, and then the lease ends by itself.
        let (mut waits, _waiting) = oneshot::channel::<()>();
        let taken = lease_of(&self.shared, &key::of(key), &mut waits).await?;
        let Held { lease, thread, .. } = taken.ok_or_else(given_up)?.held;
        let change = Change {
            thread: None,
            tail: &[],
            durable: true,
            then: Then::Release,
        };
        self.shared.store.commit(&lease, change).await?;
        Ok(thread.map(|thread| thread.entry))
    }

    /// Has the next turn of this conversation go on with a thread that codex has on this host. Waits until no turn of it
    /// runs.
    ///
    /// # Errors
    /// Those of the store, and if codex has no such thread here.
    pub async fn adopt(&self, key: &SessionKey, thread_id: &str) -> Result<(), SessionError> {
        if !is_uuid(thread_id) {
            let message = format!("{thread_id:?} is not a thread id, which is a UUID");
            return Err(SessionError::new(SessionErrorKind::Denied, message));
        }
        let home = self.shared.codex_home(key)?;
        let version = self.shared.codex.version().await?;
        let (mut waits, _waiting) = oneshot::channel::<()>();
        let taken = take(&self.shared, &key::of(key), &mut waits).await?;
        let (_lock, HeldLease { held, asked }) = taken.ok_or_else(given_up)?;
        let keeper = Keeper::new(Arc::clone(&self.shared), &held, asked, home, version);
        keeper.adopt(held.thread, thread_id).await
    }
}

fn given_up() -> SessionError {
    SessionError::new(SessionErrorKind::Busy, "nobody waited for the conversation")
}
