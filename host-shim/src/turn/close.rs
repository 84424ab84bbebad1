//! What happens between the component's end of a turn and the end that is handed out.

use std::sync::Arc;

use crate::capability::CodexCtx;
use crate::capability::handover::Handover;
use crate::contract::event::{Event, Failure, FailureKind, NoticeKind, StopReason};
use crate::session::store::{NoSession, SessionError, SessionErrorKind};

impl CodexCtx {
    /// Ends every codex that the component has left running, and then the session. Returns what to hand out: notices, and
    /// last the end of the turn, which is another one than `end` if the conversation could not be kept. Call it for every
    /// turn, however it ends, before you hand out its end. From then on the component can save nothing. Drop this soon: other
    /// turns wait for its place.
    ///
    /// **Invariant:** an end without a failure is handed out only when the session store has all of the turn.
    pub async fn close(&mut self, end: Event) -> Vec<Event> {
        if self.is_closed {
            return vec![end];
        }
        let mut events: Vec<Event> = self.end_codex().await;
        self.is_closed = true;
        let grace = self.config.limits.grace();
        let session = Arc::clone(&self.session);
        let finished = self.bounds.within_grace(grace, session.finish()).await;
        let lost = match self.watch.take() {
            Some(watch) => watch.end().await,
            None => None,
        };
        let error = match (finished, lost) {
            (Ok(Ok(())), None) => None,
            // It was lost, and could be kept after all.
            (Ok(Ok(())), Some(_)) if is_complete(&end) => None,
            // Why it was lost was not known yet: the store did not answer in time.
            (Ok(Err(moved)), Some(_)) if moved.kind == SessionErrorKind::Moved => {
                Some((moved, true))
            }
            (_, Some(lost)) => Some((lost, true)),
            (Ok(Err(error)), None) => Some((error, false)),
            (Err(_), None) => {
                let message =
                    "the session store does not answer: check that it runs and can be reached";
                let error = SessionError::new(SessionErrorKind::Unavailable, message);
                Some((error, false))
            }
        };
        if matches!(&error, Some((error, _)) if error.kind == SessionErrorKind::Moved) {
            self.close_moved().await;
        }
        let (notice, end) = match error {
            Some((error, was_stopped)) => not_kept(end, &error, was_stopped),
            None => (None, end),
        };
        events.extend(notice);
        events.push(end);
        // Another process may have the conversation, and nothing of the request is left on the disk. This process's next turn
        // waits until this is dropped.
        self.session = Arc::new(NoSession);
        self.handover = Handover::default();
        events
    }

    /// Whether the turn must end now, so that the component should be asked to cancel it.
    #[must_use]
    pub fn must_end(&self) -> bool {
        self.bounds.stop.cause().is_some()
    }
}

fn is_complete(end: &Event) -> bool {
    matches!(end, Event::MessageEnd { failure: None, .. })
}

/// The end of a turn whose conversation could not be kept, and what else there is to say. A turn that has failed for
/// another reason keeps that one.
fn not_kept(end: Event, error: &SessionError, was_stopped: bool) -> (Option<Event>, Event) {
    let words = if was_stopped {
        "The turn was stopped"
    } else {
        "The turn ended, but it could not be saved"
    };
    let message = format!("{words}: {}.", error.message.trim_end_matches('.'));
    let Event::MessageEnd {
        stop_reason,
        usage,
        thread_usage,
        failure,
    } = end
    else {
        return (None, end);
    };
    if failure.is_some() && !was_stopped && error.kind != SessionErrorKind::Moved {
        let notice = Event::Notice {
            kind: NoticeKind::Warning,
            message,
        };
        let end = Event::MessageEnd {
            stop_reason,
            usage,
            thread_usage,
            failure,
        };
        return (Some(notice), end);
    }
    let (kind, retryable) = failure_of(error.kind);
    let end = Event::MessageEnd {
        stop_reason: StopReason::Error,
        usage,
        thread_usage,
        failure: Some(Failure {
            retryable,
            ..Failure::new(kind, message)
        }),
    };
    (None, end)
}

/// The failure of a turn for an error of its store, and whether the turn may well complete when it is tried again.
pub fn failure_of(kind: SessionErrorKind) -> (FailureKind, bool) {
    match kind {
        SessionErrorKind::Busy => (FailureKind::SessionBusy, true),
        SessionErrorKind::Moved => (FailureKind::SessionMoved, true),
        SessionErrorKind::Lost => (FailureKind::SessionLost, false),
        SessionErrorKind::Unreadable => (FailureKind::SessionUnreadable, false),
        SessionErrorKind::Unavailable => (FailureKind::StoreUnavailable, true),
        SessionErrorKind::Resources => (FailureKind::Resources, true),
        SessionErrorKind::Denied => (FailureKind::Denied, false),
        SessionErrorKind::TooLarge => (FailureKind::SessionTooLarge, false),
        SessionErrorKind::Incompatible => (FailureKind::CliIncompatible, false),
    }
}
