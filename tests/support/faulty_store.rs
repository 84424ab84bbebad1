//! A store of the conversation that has a fault in one of its methods.

use std::fmt;
use std::future::pending;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use plexum_openai_provider::{
    Acquired, LostFuture, Session, SessionEntry, SessionError, SessionFiles, SessionKey,
    SessionStore, StoreFuture,
};

/// The names of all methods of a store.
pub const METHODS: [&str; 4] = ["acquire", "save", "set_aside", "finish"];

/// The files of the workspace, but for one method.
#[derive(Clone)]
pub struct FaultyStore {
    files: SessionFiles,
    fault: Fault,
}

#[derive(Clone, Debug)]
struct Fault {
    method: &'static str,
    /// Without one, the method never answers.
    error: Option<SessionError>,
}

impl FaultyStore {
    /// Whose method of this name, one of [`METHODS`], never answers.
    #[must_use]
    pub fn hangs_at(method: &'static str) -> Self {
        FaultyStore {
            files: SessionFiles::default().without_state(),
            fault: Fault {
                method,
                error: None,
            },
        }
    }

    /// Whose method of this name, one of [`METHODS`], always ends with this error.
    #[must_use]
    pub fn fails_at(method: &'static str, error: impl Into<SessionError>) -> Self {
        let mut store = Self::hangs_at(method);
        store.fault.error = Some(error.into());
        store
    }
}

impl Fault {
    fn or<'a, T>(&self, method: &str, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T>
    where
        T: Send + 'a,
    {
        match &self.error {
            _ if self.method != method => answer,
            None => Box::pin(pending()),
            Some(error) => {
                let error = error.clone();
                Box::pin(async { Err(error) })
            }
        }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FaultyStore({}: {:?})",
            self.fault.method, self.fault.error
        )
    }
}

impl SessionStore for FaultyStore {
    fn acquire<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Acquired> {
        let acquired = Box::pin(async {
            let Acquired {
                session, loaded, ..
            } = self.files.acquire(key).await?;
            let fault = self.fault.clone();
            Ok(Acquired::new(Faulty { session, fault }, loaded))
        });
        self.fault.or("acquire", acquired)
    }
}

struct Faulty {
    session: Arc<dyn Session>,
    fault: Fault,
}

impl Session for Faulty {
    fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.session.lock()
    }

    fn save(&self, entry: SessionEntry) -> StoreFuture<'_, Vec<String>> {
        self.fault.or("save", self.session.save(entry))
    }

    fn set_aside(&self) -> StoreFuture<'_, ()> {
        self.fault.or("set_aside", self.session.set_aside())
    }

    fn lost(&self) -> Option<LostFuture<'_>> {
        self.session.lost()
    }

    fn finish(&self) -> StoreFuture<'_, ()> {
        self.fault.or("finish", self.session.finish())
    }
}
