//! A store of one's own that fails: the turn ends with the failure of that kind, whatever the store was asked.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;

use plexum_openai_provider::{
    Config, Event, FailureKind, Provider, Request, SESSION_FILE, SessionError, SessionErrorKind,
    StopReason,
};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::faulty_store::{FaultyStore, METHODS};
use plexum_openai_provider_tests::workspace::Workspace;

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
        (SessionErrorKind::TooLarge, FailureKind::SessionTooLarge),
        (SessionErrorKind::Incompatible, FailureKind::CliIncompatible),
    ] {
        for at in METHODS {
            let workspace = Workspace::scripted(codex, [Step::turn("hi").to_vec()]).unwrap();
            if at == "set_aside" {
                std::fs::write(workspace.path().join(SESSION_FILE), "not an id").unwrap();
            }
            let config = Config {
                binary: Some(codex.into()),
                ..Config::default()
            };
            let error = SessionError::new(kind, "the shelf is not where it was");
            let failing = FaultyStore::fails_at(at, error);
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
