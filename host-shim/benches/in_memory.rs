//! A codex that is not a process and a store that is not a file, so that only the host and the component are measured.

use std::io::{self, Cursor};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use plexum_openai_provider::spawner::{Child, Command, Gone, SpawnFuture, Spawned, Spawner};
use plexum_openai_provider::{
    Acquired, Loaded, Session, SessionEntry, SessionKey, SessionStore, StoreFuture,
};

/// Prints a text and ends well.
pub struct Printed(pub Arc<str>);

impl Spawner for Printed {
    fn spawn<'a>(&'a self, _: Command<'a>) -> SpawnFuture<'a, Spawned> {
        let text = Arc::clone(&self.0);
        Box::pin(async move {
            Ok(Spawned {
                id: 0,
                stdin: None,
                stdout: Box::new(Cursor::new(Bytes(text))),
                stderr: Box::new(io::Cursor::new([])),
                child: Box::new(Ended),
            })
        })
    }
}

struct Bytes(Arc<str>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

struct Ended;

impl Child for Ended {
    fn stop(&mut self) {}

    fn ended(&mut self) -> SpawnFuture<'_, ExitStatus> {
        Box::pin(std::future::ready(Ok(ExitStatus::from_raw(0))))
    }

    fn gone(&mut self) -> SpawnFuture<'_, Gone> {
        Box::pin(std::future::ready(Ok(Gone::All { ended: 0 })))
    }
}

/// Keeps nothing.
pub struct Forgetful;

struct Nothing;

impl SessionStore for Forgetful {
    fn acquire<'a>(&'a self, _: &'a SessionKey) -> StoreFuture<'a, Acquired> {
        let acquired = Acquired::new(Nothing, Loaded::default());
        Box::pin(std::future::ready(Ok(acquired)))
    }
}

impl Session for Nothing {
    fn save(&self, _: SessionEntry) -> StoreFuture<'_, Vec<String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn set_aside(&self) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
