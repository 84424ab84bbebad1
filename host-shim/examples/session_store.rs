//! Your own session store: here in the memory of the process, as a runtime might keep them in a database because its
//! workspaces move between machines.
//!
//! ```sh
//! cargo run --example session_store -- WORKSPACE "My name is Ada." "What is my name?"
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use plexum_openai_provider::{
    Acquired, Config, Event, Provider, Request, Session, SessionEntry, SessionKey, SessionStore,
    StoreFuture,
};
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// One record and one lock per conversation.
#[derive(Clone, Default)]
struct InMemory {
    entries: Arc<Mutex<HashMap<SessionKey, SessionEntry>>>,
    locks: Arc<Mutex<HashMap<SessionKey, Arc<Lock<()>>>>>,
}

/// The conversation of a turn, while it runs. A store that others share, on any machine, holds a lease there.
struct Held {
    store: InMemory,
    key: SessionKey,
    _lock: OwnedMutexGuard<()>,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionStore for InMemory {
    fn acquire<'a>(&'a self, key: &'a SessionKey) -> StoreFuture<'a, Acquired> {
        let lock = Arc::clone(held(&self.locks).entry(key.clone()).or_default());
        Box::pin(async move {
            let session = Held {
                store: self.clone(),
                key: key.clone(),
                _lock: lock.lock_owned().await,
            };
            let entry = held(&self.entries).get(key).cloned();
            Ok(Acquired::new(session, entry))
        })
    }
}

impl Session for Held {
    fn save(&self, entry: SessionEntry) -> StoreFuture<'_, Vec<String>> {
        // A real store has made this durable before it returns: after a crash the conversation must be there.
        held(&self.store.entries).insert(self.key.clone(), entry);
        Box::pin(async { Ok(Vec::new()) })
    }

    fn set_aside(&self) -> StoreFuture<'_, ()> {
        let removed = held(&self.store.entries).remove(&self.key);
        eprintln!("put aside: {removed:?}");
        Box::pin(async { Ok(()) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let workspace = args
        .next()
        .ok_or("usage: session_store WORKSPACE PROMPT...")?;
    let store = InMemory::default();
    let provider = Provider::new(Config::read_default()?)?.with_session_store(store.clone());
    for prompt in args {
        let mut turn = provider.turn(&workspace, Request::prompt(prompt));
        while let Some(event) = turn.next().await {
            match event {
                Event::MessageStart {
                    thread_id, resumed, ..
                } => {
                    println!("{thread_id} ({})", if resumed { "resumed" } else { "new" });
                }
                Event::TextDelta { text, .. } => println!("{text}"),
                Event::MessageEnd {
                    failure: Some(failure),
                    ..
                } => return Err(failure.message.into()),
                _ => {}
            }
        }
    }
    let stored = held(&store.entries);
    for entry in stored.values() {
        println!("kept: {}", entry.thread_id);
    }
    Ok(())
}
