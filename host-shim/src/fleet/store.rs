//! What an engine of a fleet must be able to do.
//!
//! **Invariant:** of a conversation, only who holds its lease writes, and a lease that somebody else has taken since is
//! never written under: each acquisition has a new [`Owner`] and raises the fence, and every write names both.

use std::time::{Duration, SystemTime};

use crate::session::store::{SessionEntry, SessionError, SessionErrorKind, StoreFuture};

/// The most bytes of a record that are returned at once, or handed over unless one line is longer.
pub const MAX_PIECE_BYTES: usize = 4 * 1024 * 1024;

/// The longest line of a record.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// Who asks for a lease. Each acquisition has one of its own: with a name that stays, a host that was paused would pass
/// for its successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// 128 random bits, in hexadecimal.
    pub id: String,
    /// The host's name, for people, and to know a record that was left here.
    pub host: String,
}

/// The right to write a conversation, until it ends or is renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The conversation.
    pub key: String,
    /// Who holds it.
    pub owner: Owner,
    /// The number of this acquisition; each of the same conversation has a larger one than those before it.
    pub fence: i64,
}

/// A thread of codex, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredThread {
    /// What the session keeps. The totals are those at the end of the record; `None` if the record has grown since they
    /// were known.
    pub entry: SessionEntry,
    /// How much of codex's own record is kept; `None` if nothing is.
    pub record: Option<RecordMark>,
}

/// Codex's record of a thread (its rollout) up to some point. It only ever grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMark {
    /// Where codex keeps it, from codex's home: `sessions/YYYY/MM/DD/rollout-….jsonl`.
    pub path: String,
    /// How many bytes. The last one is a line feed.
    pub bytes: u64,
    /// The SHA-256 of these bytes.
    pub digest: [u8; 32],
    /// The version of the newest codex that has written to it, such as `0.169.0`.
    pub codex_version: String,
}

impl RecordMark {
    /// Whether both are of the same bytes.
    #[must_use]
    pub fn is_as_far_as(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.digest == other.digest
    }
}

/// What came of asking for a lease.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is nearly always the large one"
)]
pub enum Acquisition {
    /// It was given.
    Held(Held),
    /// Somebody else has it.
    Busy(Holder),
}

/// A lease that was given, and what is kept of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The lease.
    pub lease: Lease,
    /// What the conversation goes on with; `None` if it has not begun.
    pub thread: Option<StoredThread>,
    /// The host that held the lease before; `None` if nobody has.
    pub last_host: Option<String>,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The host's name.
    pub host: String,
    /// For how long it has held it.
    pub held_for: Duration,
    /// When the lease ends if it is not renewed.
    pub ends_in: Duration,
}

/// A change of a conversation, all of it or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What the conversation goes on with from here; `None`: it begins again. A thread that it leaves stays readable until
    /// it is swept.
    pub thread: Option<&'a StoredThread>,
    /// The last bytes of the thread's record, at most [`MAX_PIECE_BYTES`], or one line of at most [`MAX_LINE_BYTES`]: those
    /// before them are kept already. Empty if nothing was appended.
    ///
    /// They begin where the kept record ends: at 0 if the conversation went on with another thread until now, whatever
    /// is kept of this one. Anything else is refused as `Unreadable`, also a thread whose record is left out although one
    /// is kept. If they are kept already too, because the answer to the same change was lost, the change succeeds again.
    pub tail: &'a [u8],
    /// Whether a crash of the engine's machine may lose it no more when it is done.
    pub durable: bool,
    /// What becomes of the lease.
    pub then: Then,
}

impl Lease {
    /// What every engine says when somebody else has taken this lease.
    #[must_use]
    pub fn moved(&self) -> SessionError {
        let message = format!(
            "another host has taken the conversation {:?} since {} had it, so nothing more is written from here",
            self.key, self.owner.host
        );
        SessionError::new(SessionErrorKind::Moved, message)
    }

    /// What every engine says to a tail that begins elsewhere than the kept record ends.
    #[must_use]
    pub fn does_not_follow(&self, at: u64, kept: u64) -> SessionError {
        let message = format!(
            "the record of the conversation {:?} is kept up to byte {kept}, and the piece that was to be added does not follow it: it begins at byte {at}",
            self.key
        );
        SessionError::new(SessionErrorKind::Unreadable, message)
    }
}

impl Change<'_> {
    /// Where the tail begins in the thread's record.
    ///
    /// # Errors
    /// If the change contradicts itself: a tail that is longer than the record, or that belongs to none.
    pub fn at(&self) -> Result<u64, SessionError> {
        let record = self.thread.and_then(|thread| thread.record.as_ref());
        let bytes = record.map_or(0, |record| record.bytes);
        let tail = self.tail.len() as u64;
        match bytes.checked_sub(tail) {
            Some(at) if self.tail.len() <= MAX_LINE_BYTES && i64::try_from(bytes).is_ok() => Ok(at),
            _ => {
                let message = format!(
                    "a record of {bytes} bytes cannot end in a piece of {tail}; a piece has at most {MAX_LINE_BYTES}"
                );
                Err(SessionError::new(SessionErrorKind::Unreadable, message))
            }
        }
    }
}

/// What becomes of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// From now on it lasts this long.
    Renew(Duration),
    /// It ends.
    Release,
}

/// A conversation, as an operator sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The conversation.
    pub key: String,
    /// Who holds it now.
    pub holder: Option<Holder>,
    /// Who held it last, or holds it.
    pub last_host: String,
    /// What it goes on with.
    pub thread: Option<StoredThread>,
    /// When it was last changed or held.
    pub updated: SystemTime,
}

/// What a sweep has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Conversations.
    pub conversations: u64,
    /// Records of threads, those of the conversations included.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Keeps the conversations of a fleet. Errors are [`SessionError`]s: of the kind `Moved` if the lease
/// is somebody else's by now, `Unavailable` if the store does not answer, `Resources` if it is full, `Denied` if it
/// refuses the login or a permission, `Unreadable` if what it holds makes no sense.
///
/// Time is the store's own: leases end by its clock. A future that is dropped may still take effect.
pub trait FleetStore: Send + Sync + 'static {
    /// Takes the lease of a conversation if nobody has one that still lasts, and begins the conversation if there is none.
    /// The same owner may ask again, because the answer was lost: it is given the lease again, with a larger fence.
    fn acquire<'a>(
        &'a self,
        key: &'a str,
        owner: &'a Owner,
        lasts: Duration,
    ) -> StoreFuture<'a, Acquisition>;

    /// From now on the lease lasts this long, even if it had ended, unless somebody else has taken it.
    fn renew<'a>(&'a self, lease: &'a Lease, lasts: Duration) -> StoreFuture<'a, ()>;

    /// Changes a conversation.
    fn commit<'a>(&'a self, lease: &'a Lease, change: Change<'a>) -> StoreFuture<'a, ()>;

    /// Some bytes of a record from this one on, at most [`MAX_PIECE_BYTES`]; none if it has no more.
    fn read<'a>(
        &'a self,
        lease: &'a Lease,
        thread_id: &'a str,
        from: u64,
    ) -> StoreFuture<'a, Vec<u8>>;

    /// Ends the lease. Whether it was held any more does not matter.
    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFuture<'a, ()>;

    /// The conversations after this key, in the order of their keys, at most so many.
    fn list<'a>(&'a self, after: Option<&'a str>, most: u32) -> StoreFuture<'a, Vec<Listed>>;

    /// One conversation.
    fn find<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Listed>>;

    /// Removes the conversations that nobody has held or changed for so long, at most so many, and the records that no
    /// conversation goes on with and that are as old.
    fn sweep(&self, unused_for: Duration, most: u32) -> StoreFuture<'_, Swept>;

    /// Notes which login this host uses, by a digest of it, and returns the other hosts that have used the same within
    /// `within`.
    fn note_login<'a>(
        &'a self,
        host: &'a str,
        login: [u8; 32],
        within: Duration,
    ) -> StoreFuture<'a, Vec<String>>;

    /// The store's clock.
    fn now(&self) -> StoreFuture<'_, SystemTime>;
}
