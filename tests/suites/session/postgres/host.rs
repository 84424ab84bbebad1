//! A host that makes turns, without codex.

use std::time::Duration;

use plexum_openai_provider::fleet::postgres::PostgresStore;
use plexum_openai_provider::fleet::store::{
    Acquisition, Change, FleetStore as _, Lease, Owner, RecordMark, StoredThread, Then,
};
use plexum_openai_provider::{SessionEntry, SessionError};
use plexum_openai_provider_tests::random::Random;

/// How long its leases last.
pub const LASTS: Duration = Duration::from_secs(60);

/// The thread of every conversation here.
pub const THREAD: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

/// A new owner.
pub fn owner(random: &mut Random, host: &str) -> Owner {
    Owner {
        id: format!("{:016x}", random.number()),
        host: host.into(),
    }
}

/// A lease that is free, and how much is kept of the record.
pub async fn take(store: &PostgresStore, key: &str) -> (Lease, u64) {
    let owner = Owner {
        id: format!("{key} {:?}", std::time::Instant::now()),
        host: "host".into(),
    };
    match store.acquire(key, &owner, LASTS).await.unwrap() {
        Acquisition::Held(held) => {
            let record = held.thread.and_then(|thread| thread.record);
            (held.lease, record.map_or(0, |record| record.bytes))
        }
        Acquisition::Busy(holder) => panic!("{key} is {holder:?}'s"),
    }
}

/// The thread with a record of so many bytes.
pub fn thread(bytes: u64) -> StoredThread {
    StoredThread {
        entry: SessionEntry::new(THREAD),
        record: Some(RecordMark {
            path: format!("sessions/2026/11/26/rollout-2026-11-26T00-00-00-{THREAD}.jsonl"),
            bytes,
            // Of what, the store does not ask.
            digest: bytes.to_le_bytes().repeat(4).try_into().unwrap(),
            codex_version: "0.169.0".into(),
        }),
    }
}

/// Appends to the record.
pub async fn append(
    store: &PostgresStore,
    lease: &Lease,
    at: u64,
    tail: &[u8],
    durable: bool,
    then: Then,
) -> Result<u64, SessionError> {
    let end = at + tail.len() as u64;
    let change = Change {
        thread: Some(&thread(end)),
        tail,
        durable,
        then,
    };
    store.commit(lease, change).await?;
    Ok(end)
}
