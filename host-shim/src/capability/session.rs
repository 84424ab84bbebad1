//! The import `session`: what is kept of the conversation between turns.

use std::result::Result as StdResult;
use std::sync::Arc;

use wasmtime::Result;

use super::finishing::Finishing;
use super::{CodexCtx, NoAnswer};
use crate::capability::bindings::session;
use crate::contract::event::Usage;
use crate::contract::thread_id::is_plain;
use crate::session::store::{
    Loaded, NoSession, Session, SessionEntry, SessionError, SessionErrorKind, StoreFuture,
};

impl session::Host for CodexCtx {
    async fn load(&mut self) -> Result<Result<session::Loaded, session::Error>> {
        let Some(loaded) = &mut self.loaded else {
            return Ok(Err(NoSession::error().into()));
        };
        // A notice is given once.
        let notices = std::mem::take(&mut loaded.notices);
        let mut loaded = session::Loaded::from(loaded.clone());
        loaded.notices = notices;
        Ok(Ok(loaded))
    }

    async fn save(&mut self, entry: session::Entry) -> Result<Result<Vec<String>, session::Error>> {
        if let Err(reason) = self.check_entry(&entry) {
            tracing::warn!(reason, "a thread id is not kept");
            self.budget.refused(reason)?;
            return Ok(Err(session::Error::Denied(reason.into())));
        }
        let entry = SessionEntry::from(entry);
        let saving = entry.clone();
        let saved = self.change_session(|session| session.save(saving));
        let saved = self.answered(saved).await?;
        if saved.is_ok() {
            self.loaded = Some(Some(entry).into());
        }
        Ok(saved.map_err(Into::into))
    }

    async fn set_aside(&mut self) -> Result<Result<(), session::Error>> {
        let set_aside = self.change_session(|session| session.set_aside());
        let set_aside = self.answered(set_aside).await?;
        if set_aside.is_ok() {
            self.loaded = Some(Loaded::default());
        }
        Ok(set_aside.map_err(Into::into))
    }
}

impl CodexCtx {
    /// Whether this may be kept, and why not.
    fn check_entry(&self, entry: &session::Entry) -> StdResult<(), &'static str> {
        self.threads.check(&entry.thread_id)?;
        match &entry.instructions {
            Some(digest) if !is_plain(digest) => Err(
                "only a plain word of at most 128 bytes can be kept as the digest of instructions",
            ),
            _ => Ok(()),
        }
    }

    /// The store's answer. When the turn must end, the store has the grace period to finish what it does; the error, on
    /// which the component is stopped, is a [`NoAnswer`].
    async fn answered<T>(&mut self, answer: impl Future<Output = T>) -> Result<T> {
        let grace = self.config.limits.grace();
        let answer = self.bounds.within_grace(grace, answer).await;
        answer.map_err(|cause| NoAnswer(cause).into())
    }

    /// Changes what is kept of the session. That is finished even if the turn is dropped meanwhile, and other turns are
    /// kept out until then: two that replace a file at the same time could put half of one in its place.
    fn change_session<T, F>(
        &self,
        change: F,
    ) -> impl Future<Output = StdResult<T, SessionError>> + use<T, F>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a dyn Session) -> StoreFuture<'a, T> + Send + 'static,
    {
        let session = Arc::clone(&self.session);
        let changed = Finishing::new(async move { change(&*session).await });
        async {
            changed.await.unwrap_or_else(|panicked| {
                Err(SessionError::new(
                    SessionErrorKind::Unreadable,
                    format!("the session store has panicked: {}", panicked.message()),
                ))
            })
        }
    }
}

impl From<Loaded> for session::Loaded {
    fn from(loaded: Loaded) -> Self {
        session::Loaded {
            entry: loaded.entry.map(Into::into),
            foreign: loaded.foreign,
            notices: loaded.notices,
        }
    }
}

impl From<SessionEntry> for session::Entry {
    fn from(entry: SessionEntry) -> Self {
        let totals = entry.totals.map(|totals| session::Totals {
            input_tokens: totals.input_tokens,
            cached_input_tokens: totals.cached_input_tokens,
            cache_write_input_tokens: totals.cache_write_input_tokens,
            output_tokens: totals.output_tokens,
            reasoning_output_tokens: totals.reasoning_output_tokens,
        });
        session::Entry {
            thread_id: entry.thread_id,
            totals,
            instructions: entry.instructions,
        }
    }
}

impl From<SessionError> for session::Error {
    fn from(error: SessionError) -> Self {
        let SessionError { kind, message } = error;
        match kind {
            SessionErrorKind::Busy => session::Error::Busy(message),
            SessionErrorKind::Moved => session::Error::Moved(message),
            SessionErrorKind::Lost => session::Error::Lost(message),
            SessionErrorKind::Unreadable => session::Error::Unreadable(message),
            SessionErrorKind::Unavailable => session::Error::Unavailable(message),
            SessionErrorKind::Resources => session::Error::Resources(message),
            SessionErrorKind::Denied => session::Error::Denied(message),
            SessionErrorKind::TooLarge => session::Error::TooLarge(message),
            SessionErrorKind::Incompatible => session::Error::Incompatible(message),
        }
    }
}

impl From<session::Entry> for SessionEntry {
    fn from(entry: session::Entry) -> Self {
        let totals = entry.totals.map(|totals| Usage {
            input_tokens: totals.input_tokens,
            cached_input_tokens: totals.cached_input_tokens,
            cache_write_input_tokens: totals.cache_write_input_tokens,
            output_tokens: totals.output_tokens,
            reasoning_output_tokens: totals.reasoning_output_tokens,
        });
        SessionEntry {
            thread_id: entry.thread_id,
            totals,
            instructions: entry.instructions,
        }
    }
}
