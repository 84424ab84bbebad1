//! Watches whether a turn loses its conversation.

use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;

use crate::codex::stop::Stop;
use crate::session::store::{Session, SessionError};

/// Stops the turn when its conversation is lost. Dropping it ends the watch.
pub struct Watch {
    lost: Arc<OnceLock<SessionError>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch over the conversation of the turn that this request to stop belongs to, if it can be lost.
    pub fn over(session: &Arc<dyn Session>, stop: &Stop) -> Option<Self> {
        // What the task waits for borrows from its own session.
        drop(session.lost()?);
        let noted = Arc::new(OnceLock::new());
        let (session, stop, lost) = (Arc::clone(session), stop.clone(), Arc::clone(&noted));
        let task = tokio::spawn(async move {
            let Some(lost) = session.lost() else {
                return;
            };
            let error = lost.await;
            tracing::warn!(%error, "the conversation is lost; codex is stopped");
            let _first = noted.set(error);
            stop.lose_session();
        });
        Some(Watch { lost, task })
    }

    /// Ends the watch, and returns why the conversation is lost, if it is. The watch holds nothing of it any more then.
    pub async fn end(mut self) -> Option<SessionError> {
        self.task.abort();
        // It was aborted, or has ended.
        let _ended = (&mut self.task).await;
        self.lost.get().cloned()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
