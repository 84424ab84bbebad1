//! A store of the conversation that has a fault in one of its methods.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use plexum_openai_provider::{
    SessionEntry, SessionError, SessionFiles, SessionGuard, SessionKey, SessionStore, StoreFuture,
};

/// The names of all methods of a store.
pub const METHODS: [&str; 4] = ["lock", "load", "save", "set_aside"];

/// The files of the workspace, but for one method.
pub struct FaultyStore {
    files: SessionFiles,
    method: &'static str,
    /// Without one, the method never answers.
    error: Option<SessionError>,
}

impl FaultyStore {
    /// Whose method of this name, one of [`METHODS`], never answers.
    #[must_use]
    pub fn hangs_at(method: &'static str) -> Self {
        FaultyStore {
            files: SessionFiles::default(),
            method,
            error: None,
        }
    }

    /// Whose method of this name, one of [`METHODS`], always ends with this error.
    #[must_use]
    pub fn fails_at(method: &'static str, error: impl Into<SessionError>) -> Self {
        FaultyStore {
            error: Some(error.into()),
            ..Self::hangs_at(method)
        }
    }

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
        write!(f, "FaultyStore({}: {:?})", self.method, self.error)
    }
}

impl SessionStore for FaultyStore {
    fn lock<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Arc<dyn SessionGuard>> {
        self.or("lock", self.files.lock(key))
    }

    fn load<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Option<SessionEntry>> {
        self.or("load", self.files.load(key))
    }

    fn save<'a>(&'a self, key: &'a SessionKey, entry: SessionEntry) -> StoreFuture<'a, ()> {
        self.or("save", self.files.save(key, entry))
    }

    fn set_aside<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, ()> {
        self.or("set_aside", self.files.set_aside(key))
    }
}
