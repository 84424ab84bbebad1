//! The import `session`: what is kept of the conversation between turns.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::Instrument;
use wasmtime::Result;

use super::CodexCtx;
use crate::bindings::session;
use crate::event::Usage;
use crate::session_store::{SessionEntry, SessionStore, StoreFuture};

impl session::Host for CodexCtx {
    async fn load(&mut self) -> Result<Result<Option<session::Entry>, String>> {
        let loaded = match self.stored.take() {
            Some(stored) => Ok(stored),
            None => self.sessions.load(&self.workspace).await,
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
        Ok(saved.await.map_err(|error| error.to_string()))
    }

    async fn set_aside(&mut self) -> Result<Result<(), String>> {
        self.stored = None;
        let set_aside = self.change_session(|sessions, workspace| sessions.set_aside(workspace));
        Ok(set_aside.await.map_err(|error| error.to_string()))
    }
}

impl CodexCtx {
    /// Changes what is kept of the session. That is carried through even when the turn is dropped meanwhile, and other
    /// turns are kept out until then: two that replace a file at the same time could put half of one in its place.
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

    use super::*;
    use crate::bindings::session::Host;
    use crate::codex::Codex;
    use crate::config::Config;
    use crate::request::Request;
    use crate::session_store::SessionGuard;

    /// Saves when it is told to.
    #[derive(Clone, Default)]
    struct Slow {
        lock: Arc<AsyncMutex<()>>,
        begun: Arc<Notify>,
        go_on: Arc<Notify>,
        saved: Arc<Mutex<Option<SessionEntry>>>,
    }

    impl SessionGuard for OwnedMutexGuard<()> {}

    impl SessionStore for Slow {
        fn lock<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, Arc<dyn SessionGuard>> {
            Box::pin(async {
                let guard = Arc::clone(&self.lock).lock_owned().await;
                Ok(Arc::new(guard) as Arc<dyn SessionGuard>)
            })
        }

        fn load<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, Option<SessionEntry>> {
            Box::pin(std::future::ready(Ok(Some(entry()))))
        }

        fn save<'a>(&'a self, _: &'a Path, entry: SessionEntry) -> StoreFuture<'a, ()> {
            Box::pin(async {
                self.begun.notify_one();
                self.go_on.notified().await;
                *self.saved.lock().unwrap() = Some(entry);
                Ok(())
            })
        }

        fn set_aside<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, ()> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn entry() -> SessionEntry {
        SessionEntry {
            thread_id: "01a20000-0000-7000-8000-000000000001".into(),
            totals: None,
        }
    }

    #[tokio::test]
    async fn a_turn_that_is_dropped_while_it_saves_keeps_others_out_until_that_is_done() {
        let workspace = tempfile::tempdir().unwrap();
        let store = Slow::default();
        let codex = Codex::new(Config::default(), b"")
            .unwrap()
            .with_session_store(store.clone());
        let request = Request::prompt("hello");
        let mut turn = codex.open(workspace.path(), request).await.unwrap();
        {
            let save = turn.ctx.save(entry().into());
            tokio::select! {
                saved = save => panic!("{saved:?}"),
                () = store.begun.notified() => {}
            }
        }
        drop(turn);
        assert!(store.lock.try_lock().is_err(), "another turn would begin");
        store.go_on.notify_one();
        let _next = store.lock.lock().await;
        assert_eq!(*store.saved.lock().unwrap(), Some(entry()));
    }
}
