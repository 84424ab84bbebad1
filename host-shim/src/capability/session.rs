//! The import `session`: what is kept of the conversation between turns.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::Instrument;
use wasmtime::Result;

use super::{CodexCtx, NoAnswer};
use crate::capability::bindings::session;
use crate::contract::event::Usage;
use crate::session::store::{SessionEntry, SessionStore, StoreFuture};

impl session::Host for CodexCtx {
    async fn load(&mut self) -> Result<Result<Option<session::Entry>, String>> {
        let loaded = match self.stored.take() {
            Some(stored) => Ok(stored),
            None => {
                let (sessions, workspace) = (Arc::clone(&self.sessions), self.workspace.clone());
                self.answered(sessions.load(&workspace)).await?
            }
        };
        Ok(loaded
            .map(|entry| entry.map(Into::into))
            .map_err(|error| error.to_string()))
    }

    async fn save(&mut self, entry: session::Entry) -> Result<Result<(), String>> {
        if let Err(reason) = self.threads.check(&entry.thread_id) {
            tracing::warn!(reason, "a thread id is not kept");
            self.budget.refused(reason)?;
            return Ok(Err(reason.into()));
        }
        self.stored = None;
        let entry = entry.into();
        let saved = self.change_session(|sessions, workspace| sessions.save(workspace, entry));
        let saved = self.answered(saved).await?;
        Ok(saved.map_err(|error| error.to_string()))
    }

    async fn set_aside(&mut self) -> Result<Result<(), String>> {
        self.stored = None;
        let set_aside = self.change_session(|sessions, workspace| sessions.set_aside(workspace));
        let set_aside = self.answered(set_aside).await?;
        Ok(set_aside.map_err(|error| error.to_string()))
    }
}

impl CodexCtx {
    /// The store's answer. When the turn must end, the store has the grace period to finish what it does; the error, on
    /// which the component is stopped, is a [`NoAnswer`].
    async fn answered<T>(&mut self, answer: impl Future<Output = T>) -> Result<T> {
        let grace = self.config.limits.grace();
        let answer = self.bounds.within_grace(grace, answer).await;
        answer.map_err(|cause| NoAnswer(cause).into())
    }

    /// Changes what is kept of the session. That is finished even if the turn is dropped meanwhile, and other turns are
    /// kept out until then: two that replace a file at the same time could put half of one in its place.
    fn change_session<F>(&self, change: F) -> impl Future<Output = io::Result<()>> + use<F>
    where
        F: for<'a> FnOnce(&'a dyn SessionStore, &'a Path) -> StoreFuture<'a, ()> + Send + 'static,
    {
        let (sessions, workspace) = (Arc::clone(&self.sessions), self.workspace.clone());
        let guard = self.guard.clone();
        let task = async move {
            let changed = change(&*sessions, &workspace).await;
            drop(guard);
            changed
        };
        let task = tokio::spawn(task.in_current_span());
        async { task.await.map_err(io::Error::other)? }
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
        }
    }
}
