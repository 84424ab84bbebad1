//! Conversations in the memory of this process, for tests and for a runtime that is one process.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::store::{
    Acquisition, Change, FleetStore, Held, Holder, Lease, Listed, MAX_PIECE_BYTES, Owner,
    StoredThread, Swept, Then,
};
use crate::session::store::{SessionError, StoreFuture};

/// Keeps conversations as long as a clone of it lives. Its clock is tokio's, so a test may pause it.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    began: (Instant, SystemTime),
}

#[derive(Debug, Default)]
struct Kept {
    conversations: BTreeMap<String, Conversation>,
    /// When a host last used a login.
    logins: HashMap<(String, [u8; 32]), Instant>,
}

#[derive(Debug)]
struct Conversation {
    fence: i64,
    owner: Owner,
    previous_host: Option<String>,
    held_since: Instant,
    held_until: Instant,
    updated: Instant,
    thread: Option<StoredThread>,
    records: HashMap<String, Record>,
}

/// What codex has written of a thread.
#[derive(Debug, Default)]
struct Record {
    bytes: Vec<u8>,
    /// Since when the conversation goes on with another thread.
    left: Option<Instant>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// A store without conversations.
    #[must_use]
    pub fn new() -> Self {
        MemoryStore {
            kept: Arc::default(),
            began: (Instant::now(), SystemTime::now()),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing is changed before everything is checked, so a panic leaves it whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time_of(&self, instant: Instant) -> SystemTime {
        let (instant_then, time_then) = self.began;
        time_then + instant.saturating_duration_since(instant_then)
    }

    fn acquire_now(&self, key: &str, owner: &Owner, lasts: Duration) -> Acquisition {
        let now = Instant::now();
        let mut kept = self.kept();
        let conversation = match kept.conversations.get_mut(key) {
            Some(held) if held.held_until > now && held.owner.id != owner.id => {
                return Acquisition::Busy(held.holder(now));
            }
            Some(free) => {
                if free.owner.id != owner.id {
                    free.previous_host = Some(free.owner.host.clone());
                }
                free
            }
            None => kept
                .conversations
                .entry(key.to_owned())
                .or_insert(Conversation {
                    fence: 0,
                    owner: owner.clone(),
                    previous_host: None,
                    held_since: now,
                    held_until: now,
                    updated: now,
                    thread: None,
                    records: HashMap::new(),
                }),
        };
        conversation.fence += 1;
        conversation.owner = owner.clone();
        conversation.held_since = now;
        conversation.held_until = end_of(now, lasts);
        conversation.updated = now;
        Acquisition::Held(Held {
            lease: Lease {
                key: key.to_owned(),
                owner: owner.clone(),
                fence: conversation.fence,
            },
            thread: conversation.thread.clone(),
            last_host: conversation.previous_host.clone(),
        })
    }

    /// Has `change` change a conversation if the lease is still its own.
    fn under(
        &self,
        lease: &Lease,
        change: impl FnOnce(&mut Conversation, Instant) -> Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        let now = Instant::now();
        let mut kept = self.kept();
        let conversation = kept
            .conversations
            .get_mut(&lease.key)
            .filter(|kept| kept.fence == lease.fence && kept.owner.id == lease.owner.id)
            .ok_or_else(|| lease.moved())?;
        change(conversation, now)?;
        conversation.updated = now;
        Ok(())
    }

    fn listed(&self, key: &str, conversation: &Conversation, now: Instant) -> Listed {
        let held = conversation.held_until > now;
        Listed {
            key: key.to_owned(),
            holder: held.then(|| conversation.holder(now)),
            last_host: conversation.owner.host.clone(),
            thread: conversation.thread.clone(),
            updated: self.time_of(conversation.updated),
        }
    }

    fn sweep_now(&self, unused_for: Duration, most: u32) -> Swept {
        let now = Instant::now();
        let is_old = |since: Instant| now.saturating_duration_since(since) >= unused_for;
        let mut swept = Swept::default();
        let mut kept = self.kept();
        let unused = kept.conversations.iter().filter(|(_, conversation)| {
            conversation.held_until <= now
                && is_old(conversation.held_until)
                && is_old(conversation.updated)
        });
        let unused: Vec<String> = unused
            .map(|(key, _)| key.clone())
            .take(most as usize)
            .collect();
        for key in unused {
            if let Some(conversation) = kept.conversations.remove(&key) {
                swept.conversations += 1;
                conversation
                    .records
                    .values()
                    .for_each(|record| swept.add(record));
            }
        }
        for conversation in kept.conversations.values_mut() {
            conversation.records.retain(|_, record| {
                let goes = record.left.is_some_and(is_old);
                if goes {
                    swept.add(record);
                }
                !goes
            });
        }
        kept.logins.retain(|_, used| !is_old(*used));
        swept
    }
}

impl Swept {
    fn add(&mut self, record: &Record) {
        self.records += 1;
        self.bytes += record.bytes.len() as u64;
    }
}

impl Conversation {
    fn holder(&self, now: Instant) -> Holder {
        Holder {
            host: self.owner.host.clone(),
            held_for: now.saturating_duration_since(self.held_since),
            ends_in: self.held_until.saturating_duration_since(now),
        }
    }

    fn apply(
        &mut self,
        lease: &Lease,
        change: Change<'_>,
        now: Instant,
    ) -> Result<(), SessionError> {
        let at = change.at()?;
        let before = self
            .thread
            .as_ref()
            .map(|thread| thread.entry.thread_id.clone());
        let after = change.thread.map(|thread| thread.entry.thread_id.clone());
        let mark = change.thread.and_then(|thread| thread.record.as_ref());
        let mut is_repeated = false;
        if before == after {
            let kept_mark = self
                .thread
                .as_ref()
                .and_then(|thread| thread.record.as_ref());
            let kept = kept_mark.map_or(0, |mark| mark.bytes);
            let is_same = |kept: &super::store::RecordMark| {
                mark.is_some_and(|mark| mark.bytes == kept.bytes && mark.digest == kept.digest)
            };
            is_repeated = kept_mark.is_some_and(is_same);
            if !is_repeated && (at != kept || (change.tail.is_empty() && kept > 0)) {
                return Err(lease.does_not_follow(at, kept));
            }
        } else {
            if at != 0 {
                return Err(lease.does_not_follow(at, 0));
            }
            if let Some(left) = before.and_then(|before| self.records.get_mut(&before)) {
                left.left = Some(now);
            }
            if let Some(after) = &after {
                self.records.remove(after);
            }
        }
        if let (Some(thread_id), false, false) = (after, is_repeated, change.tail.is_empty()) {
            let record = self.records.entry(thread_id).or_default();
            record.bytes.extend_from_slice(change.tail);
        }
        self.thread = change.thread.cloned();
        self.held_until = match change.then {
            Then::Renew(lasts) => end_of(now, lasts),
            Then::Release => now,
        };
        Ok(())
    }
}

/// When a lease ends.
fn end_of(now: Instant, lasts: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + lasts.min(CENTURY)
}

/// Nothing here waits.
fn ready<'a, T: Send + 'a>(result: Result<T, SessionError>) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

impl FleetStore for MemoryStore {
    fn acquire<'a>(
        &'a self,
        key: &'a str,
        owner: &'a Owner,
        lasts: Duration,
    ) -> StoreFuture<'a, Acquisition> {
        ready(Ok(self.acquire_now(key, owner, lasts)))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, lasts: Duration) -> StoreFuture<'a, ()> {
        ready(self.under(lease, |conversation, now| {
            conversation.held_until = end_of(now, lasts);
            Ok(())
        }))
    }

    fn commit<'a>(&'a self, lease: &'a Lease, change: Change<'a>) -> StoreFuture<'a, ()> {
        ready(self.under(lease, |conversation, now| {
            conversation.apply(lease, change, now)
        }))
    }

    fn read<'a>(
        &'a self,
        lease: &'a Lease,
        thread_id: &'a str,
        from: u64,
    ) -> StoreFuture<'a, Vec<u8>> {
        let kept = self.kept();
        let record = kept
            .conversations
            .get(&lease.key)
            .and_then(|conversation| conversation.records.get(thread_id));
        let rest = record.and_then(|record| record.bytes.get(usize::try_from(from).ok()?..));
        let bytes = rest.map_or_else(Vec::new, |rest| {
            rest.get(..MAX_PIECE_BYTES).unwrap_or(rest).to_vec()
        });
        ready(Ok(bytes))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFuture<'a, ()> {
        // Somebody else's by now, so there is nothing to release.
        let _moved = self.under(lease, |conversation, now| {
            conversation.held_until = conversation.held_until.min(now);
            Ok(())
        });
        ready(Ok(()))
    }

    fn list<'a>(&'a self, after: Option<&'a str>, most: u32) -> StoreFuture<'a, Vec<Listed>> {
        let now = Instant::now();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let kept = self.kept();
        let listed = kept
            .conversations
            .range::<str, _>((after, Bound::Unbounded))
            .take(most as usize)
            .map(|(key, conversation)| self.listed(key, conversation, now));
        ready(Ok(listed.collect()))
    }

    fn find<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Listed>> {
        let kept = self.kept();
        let found = kept.conversations.get(key);
        ready(Ok(found.map(|conversation| {
            self.listed(key, conversation, Instant::now())
        })))
    }

    fn sweep(&self, unused_for: Duration, most: u32) -> StoreFuture<'_, Swept> {
        ready(Ok(self.sweep_now(unused_for, most)))
    }

    fn note_login<'a>(
        &'a self,
        host: &'a str,
        login: [u8; 32],
        within: Duration,
    ) -> StoreFuture<'a, Vec<String>> {
        let now = Instant::now();
        let mut kept = self.kept();
        kept.logins.insert((host.to_owned(), login), now);
        let others = kept.logins.iter().filter(|((other, used), last)| {
            other != host && *used == login && now.saturating_duration_since(**last) <= within
        });
        let mut others: Vec<String> = others.map(|((other, _), _)| other.clone()).collect();
        others.sort();
        ready(Ok(others))
    }

    fn now(&self) -> StoreFuture<'_, SystemTime> {
        ready(Ok(self.time_of(Instant::now())))
    }
}
