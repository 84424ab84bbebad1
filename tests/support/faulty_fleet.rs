//! A store of a fleet that is another one, until a test breaks it.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use plexum_openai_provider::fleet::store::{
    Acquisition, Change, FleetStore, Lease, Listed, Owner, Swept, Then,
};
use plexum_openai_provider::{SessionError, SessionErrorKind, StoreFuture};

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It refuses to answer.
    Down,
    /// It never answers.
    Hangs,
    /// It does what it is asked, and the answer is lost.
    AnswersAreLost,
    /// It refuses to answer a change that ends a lease, and each lease has ended already.
    DownAtTheEnd,
    /// So many answers are lost, and then nothing is wrong.
    LosesAnswers(u32),
    /// Its leases last no longer than this, whatever was asked for.
    ShortLeases(Duration),
}

/// A store that can be broken and mended. Its clones are broken together.
#[derive(Clone)]
pub struct FaultyFleet<S> {
    store: S,
    fault: Arc<Mutex<Fault>>,
}

impl<S> FaultyFleet<S> {
    /// This one, of which nothing is broken.
    pub fn new(store: S) -> Self {
        FaultyFleet {
            store,
            fault: Arc::new(Mutex::new(Fault::None)),
        }
    }

    /// From here on, this is wrong with it.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lasts(&self, asked: Duration) -> Duration {
        match self.fault() {
            Fault::ShortLeases(most) => asked.min(most),
            Fault::DownAtTheEnd => Duration::ZERO,
            _ => asked,
        }
    }

    /// The present one, of which one more answer is lost.
    fn next_fault(&self) -> Fault {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let now = *fault;
        *fault = match now {
            Fault::LosesAnswers(0 | 1) => Fault::None,
            Fault::LosesAnswers(more) => Fault::LosesAnswers(more - 1),
            other => other,
        };
        now
    }

    fn or_fault<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        match self.next_fault() {
            Fault::None | Fault::ShortLeases(_) | Fault::DownAtTheEnd => answer,
            Fault::Hangs => Box::pin(pending()),
            Fault::AnswersAreLost | Fault::LosesAnswers(_) => Box::pin(async {
                let _lost = answer.await;
                Err(SessionError::new(
                    SessionErrorKind::Unavailable,
                    "the answer of the shelf is lost",
                ))
            }),
            Fault::Down => down(),
        }
    }
}

fn down<'a, T: Send + 'a>() -> StoreFuture<'a, T> {
    Box::pin(async {
        Err(SessionError::new(
            SessionErrorKind::Unavailable,
            "the shelf does not answer",
        ))
    })
}

impl<S: FleetStore> FleetStore for FaultyFleet<S> {
    fn acquire<'a>(
        &'a self,
        key: &'a str,
        owner: &'a Owner,
        lasts: Duration,
    ) -> StoreFuture<'a, Acquisition> {
        self.or_fault(self.store.acquire(key, owner, self.lasts(lasts)))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, lasts: Duration) -> StoreFuture<'a, ()> {
        self.or_fault(self.store.renew(lease, self.lasts(lasts)))
    }

    fn commit<'a>(&'a self, lease: &'a Lease, change: Change<'a>) -> StoreFuture<'a, ()> {
        let then = match change.then {
            Then::Renew(lasts) => Then::Renew(self.lasts(lasts)),
            Then::Release if self.fault() == Fault::DownAtTheEnd => return down(),
            Then::Release => Then::Release,
        };
        self.or_fault(self.store.commit(lease, Change { then, ..change }))
    }

    fn read<'a>(
        &'a self,
        lease: &'a Lease,
        thread_id: &'a str,
        from: u64,
    ) -> StoreFuture<'a, Vec<u8>> {
        self.or_fault(self.store.read(lease, thread_id, from))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFuture<'a, ()> {
        self.or_fault(self.store.release(lease))
    }

    fn list<'a>(&'a self, after: Option<&'a str>, most: u32) -> StoreFuture<'a, Vec<Listed>> {
        self.or_fault(self.store.list(after, most))
    }

    fn find<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Listed>> {
        self.or_fault(self.store.find(key))
    }

    fn sweep(&self, unused_for: Duration, most: u32) -> StoreFuture<'_, Swept> {
        self.or_fault(self.store.sweep(unused_for, most))
    }

    fn note_login<'a>(
        &'a self,
        host: &'a str,
        login: [u8; 32],
        within: Duration,
    ) -> StoreFuture<'a, Vec<String>> {
        self.or_fault(self.store.note_login(host, login, within))
    }

    fn now(&self) -> StoreFuture<'_, SystemTime> {
        self.or_fault(self.store.now())
    }
}
