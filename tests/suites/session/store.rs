//! A store of one's own that fails: the turn ends with the failure of that kind, whatever the store was asked.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::sync::Arc;

use plexum_openai_provider::{
    Config, Event, FailureKind, Provider, Request, SESSION_FILE, SessionEntry, SessionError,
    SessionErrorKind, SessionFiles, SessionGuard, SessionKey, SessionStore, StopReason,
    StoreFuture,
};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::workspace::Workspace;

/// The files of the workspace, and an error where they are asked for one thing.
struct Failing {
    at: &'static str,
    kind: SessionErrorKind,
    files: SessionFiles,
}

impl Failing {
    fn or<'a, T>(&self, method: &str, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T>
    where
        T: Send + 'a,
    {
        if self.at != method {
            return answer;
        }
        let error = SessionError::new(self.kind, "the shelf is not where it was");
        Box::pin(async { Err(error) })
    }
}

impl SessionStore for Failing {
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

#[tokio::test]
async fn each_kind_of_error_of_a_store_is_a_kind_of_failure() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    for (kind, expected) in [
        (SessionErrorKind::Busy, FailureKind::SessionBusy),
        (SessionErrorKind::Moved, FailureKind::SessionMoved),
        (SessionErrorKind::Lost, FailureKind::SessionLost),
        (SessionErrorKind::Unreadable, FailureKind::SessionUnreadable),
        (SessionErrorKind::Unavailable, FailureKind::StoreUnavailable),
        (SessionErrorKind::Resources, FailureKind::Resources),
        (SessionErrorKind::Denied, FailureKind::Denied),
    ] {
        for at in ["lock", "load", "save", "set_aside"] {
            let workspace = Workspace::scripted(codex, [Step::turn("hi").to_vec()]).unwrap();
            if at == "set_aside" {
                std::fs::write(workspace.path().join(SESSION_FILE), "not an id").unwrap();
            }
            let config = Config {
                binary: Some(codex.into()),
                ..Config::default()
            };
            let failing = Failing {
                at,
                kind,
                files: SessionFiles::default(),
            };
            let provider = Provider::new(config).unwrap().with_session_store(failing);
            let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
            let mut last = None;
            while let Some(event) = turn.next().await {
                last = Some(event);
            }
            let Some(Event::MessageEnd {
                stop_reason: StopReason::Error,
                failure: Some(failure),
                ..
            }) = last
            else {
                panic!("{kind:?} at {at}: {last:?}");
            };
            assert_eq!(failure.kind, expected, "{kind:?} at {at}: {failure:?}");
            let words = format!("{failure:?}");
            assert!(words.contains("the shelf"), "{kind:?} at {at}: {words}");
        }
    }
}
