//! What a contract is tried in: a store, keys that no other contract uses, and a host that writes a record.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Broken, must};
use crate::fleet::store::{
    Acquisition, Change, FleetStore, Held, Holder, Lease, MAX_PIECE_BYTES, Owner, RecordMark,
    StoredThread, Then,
};
use crate::session::store::{SessionEntry, SessionError, SessionErrorKind};

/// How long a lease lasts that does not end in a test.
pub const LONG: Duration = Duration::from_secs(600);

/// How long a lease lasts whose end is waited for. Shorter than one statement of a slow engine.
pub const SHORT: Duration = Duration::from_millis(1);

/// Where a contract is tried.
pub struct Setting {
    pub store: Arc<dyn FleetStore>,
    /// What the keys of this contract begin with.
    pub prefix: String,
}

impl Setting {
    pub fn new(store: Arc<dyn FleetStore>, number: usize) -> Self {
        Setting {
            store,
            prefix: format!("conformance/{}/{number:02}/", random()),
        }
    }

    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Asks for a lease as a new owner.
    pub async fn ask(
        &self,
        name: &str,
        host: &str,
        lasts: Duration,
    ) -> Result<Acquisition, SessionError> {
        self.store
            .acquire(&self.key(name), &owner(host), lasts)
            .await
    }

    /// Takes a lease that nobody has.
    pub async fn take(&self, name: &str, host: &str) -> Result<Held, Broken> {
        match self.ask(name, host, LONG).await? {
            Acquisition::Held(held) => Ok(held),
            Acquisition::Busy(holder) => {
                Err(Broken(format!("{name} is free, and yet: {holder:?}")))
            }
        }
    }

    /// Takes a lease that somebody has whose time is up.
    pub async fn take_over(&self, name: &str, host: &str) -> Result<Held, Broken> {
        let owner = owner(host);
        for _ in 0..10_000 {
            match self.store.acquire(&self.key(name), &owner, LONG).await? {
                Acquisition::Held(held) => return Ok(held),
                // Nothing tells that a lease has ended.
                Acquisition::Busy(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        Err(Broken(format!("the lease of {name} does not end")))
    }

    /// Asks for a lease that somebody has.
    pub async fn holder(&self, name: &str) -> Result<Holder, Broken> {
        match self.ask(name, "asks", LONG).await? {
            Acquisition::Busy(holder) => Ok(holder),
            Acquisition::Held(held) => Err(Broken(format!("a second lease was given: {held:?}"))),
        }
    }

    /// A host that has taken a lease to write a record.
    pub async fn writer(&self, name: &str, thread_id: &str) -> Result<Writer, Broken> {
        let held = self.take(name, "writer").await?;
        Ok(Writer::new(Arc::clone(&self.store), held.lease, thread_id))
    }
}

/// Writes the record of a thread.
pub struct Writer {
    pub store: Arc<dyn FleetStore>,
    pub lease: Lease,
    /// What is kept when all was committed.
    pub thread: StoredThread,
    hash: Sha256,
}

impl Writer {
    pub fn new(store: Arc<dyn FleetStore>, lease: Lease, thread_id: &str) -> Self {
        Writer {
            store,
            lease,
            thread: StoredThread {
                entry: SessionEntry::new(thread_id),
                record: Some(RecordMark {
                    path: format!(
                        "sessions/2026/11/26/rollout-2026-11-26T00-00-00-{thread_id}.jsonl"
                    ),
                    bytes: 0,
                    digest: Sha256::digest([]).into(),
                    codex_version: "0.169.0".into(),
                }),
            },
            hash: Sha256::new(),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.thread.record.as_ref().map_or(0, |mark| mark.bytes)
    }

    /// What is kept once this is appended.
    pub fn with(&self, tail: &[u8]) -> StoredThread {
        let mut thread = self.thread.clone();
        if let Some(mark) = &mut thread.record {
            mark.bytes += tail.len() as u64;
            mark.digest = self.hash.clone().chain_update(tail).finalize().into();
        }
        thread
    }

    /// Appends to the record.
    pub async fn append(&mut self, tail: &[u8]) -> Result<(), SessionError> {
        let thread = self.with(tail);
        self.commit(Some(&thread), tail, Then::Renew(LONG)).await?;
        self.hash.update(tail);
        self.thread = thread;
        Ok(())
    }

    pub async fn commit(
        &self,
        thread: Option<&StoredThread>,
        tail: &[u8],
        then: Then,
    ) -> Result<(), SessionError> {
        let change = Change {
            thread,
            tail,
            durable: false,
            then,
        };
        self.store.commit(&self.lease, change).await
    }

    /// What another host finds.
    pub async fn kept(&self) -> Result<Option<StoredThread>, Broken> {
        let found = self.store.find(&self.lease.key).await?;
        Ok(found.and_then(|found| found.thread))
    }

    /// All of a record from some byte on.
    pub async fn read(&self, thread_id: &str, from: u64) -> Result<Vec<u8>, Broken> {
        read(&*self.store, &self.lease, thread_id, from).await
    }
}

/// All of a record from some byte on.
pub async fn read(
    store: &dyn FleetStore,
    lease: &Lease,
    thread_id: &str,
    from: u64,
) -> Result<Vec<u8>, Broken> {
    let mut all = Vec::new();
    loop {
        let piece = store
            .read(lease, thread_id, from + all.len() as u64)
            .await?;
        must!(
            piece.len() <= MAX_PIECE_BYTES,
            "{} bytes were returned at once",
            piece.len()
        );
        if piece.is_empty() {
            return Ok(all);
        }
        all.extend(piece);
    }
}

/// A new owner.
pub fn owner(host: &str) -> Owner {
    Owner {
        id: format!("{}{}", random(), random()),
        host: host.into(),
    }
}

/// A word that nobody else has.
fn random() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// That something is refused because somebody else has the lease.
pub fn is_moved(result: Result<(), SessionError>) -> Result<(), Broken> {
    is_refused(result, SessionErrorKind::Moved)
}

/// That something is refused for this reason.
pub fn is_refused(result: Result<(), SessionError>, kind: SessionErrorKind) -> Result<(), Broken> {
    must!(
        matches!(&result, Err(error) if error.kind == kind),
        "this should have been refused as {kind:?}: {result:?}"
    );
    Ok(())
}

/// Bytes that differ from place to place, over and over.
pub fn noise(length: usize) -> Vec<u8> {
    /// No two pieces of a test begin at the same place of it.
    const PERIOD: usize = 65_521;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let period: Vec<u8> = words.flatten().take(PERIOD.min(length)).collect();
    let mut noise = period.repeat(length.div_ceil(PERIOD));
    noise.truncate(length);
    noise
}
