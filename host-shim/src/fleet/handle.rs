//! A conversation of a fleet, as a turn holds it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::sync::{mpsc, oneshot, watch};

use crate::session::store::{
    LostFuture, Session, SessionEntry, SessionError, SessionErrorKind, StoreFuture,
};

/// What the turn asks of the keeper.
pub enum Ask {
    /// Keep this.
    Save(SessionEntry, oneshot::Sender<Result<(), SessionError>>),
    /// Begin again.
    SetAside(oneshot::Sender<Result<(), SessionError>>),
    /// The turn is over.
    Finish(oneshot::Sender<Result<(), SessionError>>),
}

/// The turn's side of its [keeper](super::keeper::Keeper). Dropping it has the keeper finish.
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    hold: watch::Receiver<Hold>,
    lock: File,
}

/// How the conversation is held.
pub enum Hold {
    /// By this turn.
    Held,
    /// No longer, for this reason.
    Lost(SessionError),
    /// The turn is over.
    Finished,
}

impl Hold {
    /// Notes that the turn is over, and returns whether that is new.
    pub fn finish(&mut self) -> bool {
        let is_new = matches!(self, Hold::Held);
        if is_new {
            *self = Hold::Finished;
        }
        is_new
    }
}

/// The keeper's side.
pub struct Asked {
    /// What is asked; none when the turn is gone.
    pub asks: mpsc::Receiver<Ask>,
    /// How the conversation is held.
    pub hold: watch::Sender<Hold>,
}

impl Handle {
    /// Both sides. `lock` keeps other processes of this host out until codex is gone.
    pub fn new(lock: File) -> (Self, Asked) {
        let (sends, asks) = mpsc::channel(1);
        let (holds, hold) = watch::channel(Hold::Held);
        let handle = Handle {
            asks: sends,
            hold,
            lock,
        };
        (handle, Asked { asks, hold: holds })
    }

    fn ask(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<(), SessionError>>) -> Ask + Send + 'static,
    ) -> StoreFuture<'_, ()> {
        Box::pin(async {
            let (reply, answer) = oneshot::channel();
            self.asks.send(ask(reply)).await.map_err(|_| self.gone())?;
            answer.await.map_err(|_| self.gone())?
        })
    }

    /// The keeper does not answer.
    fn gone(&self) -> SessionError {
        match &*self.hold.borrow() {
            Hold::Held => keeper_is_gone(),
            Hold::Lost(error) => error.clone(),
            Hold::Finished => SessionError::new(SessionErrorKind::Denied, "the turn is over"),
        }
    }
}

impl Session for Handle {
    fn lock(&self) -> Option<BorrowedFd<'_>> {
        Some(self.lock.as_fd())
    }

    fn save(&self, entry: SessionEntry) -> StoreFuture<'_, Vec<String>> {
        let saved = self.ask(|reply| Ask::Save(entry, reply));
        Box::pin(async { saved.await.map(|()| Vec::new()) })
    }

    fn set_aside(&self) -> StoreFuture<'_, ()> {
        self.ask(Ask::SetAside)
    }

    fn lost(&self) -> Option<LostFuture<'_>> {
        let mut hold = self.hold.clone();
        Some(Box::pin(async move {
            let mut lost = None;
            let changes = |hold: &Hold| {
                if let Hold::Lost(error) = hold {
                    lost = Some(error.clone());
                }
                !matches!(hold, Hold::Held)
            };
            if hold.wait_for(changes).await.is_err() {
                // Nobody renews the lease any more.
                lost = Some(keeper_is_gone());
            }
            match lost {
                Some(error) => error,
                None => std::future::pending().await,
            }
        }))
    }

    fn finish(&self) -> StoreFuture<'_, ()> {
        self.ask(Ask::Finish)
    }
}

/// The task that keeps a conversation has ended, and not because the turn is over.
pub fn keeper_is_gone() -> SessionError {
    SessionError::new(
        SessionErrorKind::Unavailable,
        "the task that keeps the conversation is gone: if this process is not shutting down, report this with its log",
    )
}
