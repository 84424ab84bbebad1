//! The codex processes that wait for their next turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::server::Server;
use super::stamp::{Rollout, StartStamp};
use crate::config::ServerLimits;
use crate::session::store::SessionKey;
use crate::telemetry::metrics::{Counters, ServerClosed};

/// For whom a codex works: one conversation, and what it was started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Purpose {
    /// The conversation.
    pub key: SessionKey,
    /// The arguments that it was started with.
    pub args: Vec<String>,
    /// The model that was stated.
    pub model: Option<String>,
    /// What it was started with besides.
    pub stamp: StartStamp,
}

/// A codex that waits.
pub struct Warm {
    /// Codex.
    pub server: Server,
    /// What it has open.
    pub thread: OpenThread,
}

/// A conversation that a codex has open.
#[derive(Debug, Clone)]
pub struct OpenThread {
    /// For whom.
    pub purpose: Purpose,
    /// The conversation's id.
    pub id: String,
    /// The model that codex says answers.
    pub model: Option<String>,
    /// Codex's own record of it, as it was at the end of the last turn.
    pub rollout: Option<Rollout>,
    /// The effort that was asked for. It holds until another one is.
    pub effort: Option<String>,
    /// How many turns it has done.
    pub turns: u32,
}

/// The codex processes that wait.
pub struct Pool {
    limits: ServerLimits,
    counters: Counters,
    waiting: Mutex<Waiting>,
    /// Why it was said that this transport cannot serve.
    said: Mutex<Vec<&'static str>>,
}

#[derive(Default)]
struct Waiting {
    /// Those that wait; the oldest come first.
    all: Vec<Place>,
    /// Those that are being closed, and whose they were: when one has ended, its channel is closed.
    closing: Vec<(SessionKey, watch::Receiver<()>)>,
    /// The number of the next one.
    next: u64,
    /// Whether no more may wait.
    closed: bool,
}

/// One that waits.
struct Place {
    number: u64,
    warm: Warm,
    /// Closes it when it has waited long enough.
    _clock: Clock,
}

/// A task that is not to outlive this.
struct Clock(AbortHandle);

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pool {
    /// An empty one.
    pub fn new(limits: ServerLimits, counters: Counters) -> Self {
        Pool {
            limits,
            counters,
            waiting: Mutex::default(),
            said: Mutex::default(),
        }
    }

    /// What there is to say about why this transport cannot serve: each reason is given once.
    pub fn say_once(&self, why: &'static str) -> Option<String> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.contains(&why) {
            return None;
        }
        said.push(why);
        Some(why.to_owned())
    }

    /// Takes the one that has this thread open, or else that of this conversation, if one waits. Whether it is of use is for
    /// others to say. (Two names of one workspace are two conversations, with the same thread.)
    pub fn take(&self, key: &SessionKey, thread_id: Option<&str>) -> Option<Warm> {
        let has_thread = |place: &Place| Some(&*place.warm.thread.id) == thread_id;
        let place = self.remove(has_thread);
        let place = place.or_else(|| self.remove(|place| place.warm.thread.purpose.key == *key))?;
        if !place.warm.server.is_alive() {
            self.counters.server_closed(ServerClosed::Broken);
            return None;
        }
        Some(place.warm)
    }

    /// Has one wait for its next turn, if it may.
    pub fn keep(self: &Arc<Self>, warm: Warm) {
        let key = &warm.thread.purpose.key;
        let mut waiting = self.waiting();
        let ends = if waiting.closed {
            Some(ServerClosed::Shutdown)
        } else if warm.thread.turns >= self.limits.turns {
            Some(ServerClosed::Worn)
        } else if !warm.server.is_alive() {
            Some(ServerClosed::Broken)
        } else {
            None
        };
        if let Some(why) = ends {
            self.counters.server_closed(why);
            waiting.end(warm.thread.purpose.key, warm.server.close());
            return;
        }
        // A component may open a conversation twice in one turn.
        let double = |place: &Place| place.warm.thread.purpose.key == *key;
        let double = waiting.all.iter().position(double);
        let number = waiting.next;
        waiting.next += 1;
        let (pool, idle) = (Arc::downgrade(self), self.limits.idle());
        let clock = tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            if let Some(pool) = pool.upgrade() {
                pool.has_waited(number);
            }
        });
        self.counters.server_waits();
        waiting.all.push(Place {
            number,
            warm,
            _clock: Clock(clock.abort_handle()),
        });
        let surplus = waiting
            .all
            .len()
            .saturating_sub(self.limits.processes as usize);
        let surplus = match double {
            Some(double) => vec![waiting.all.remove(double)],
            None => waiting.all.drain(..surplus).collect(),
        };
        for place in surplus {
            self.counters.server_taken();
            self.counters.server_closed(ServerClosed::Surplus);
            waiting.end_one(place);
        }
    }

    /// This one has waited long enough.
    fn has_waited(&self, number: u64) {
        if let Some(place) = self.remove(|place| place.number == number) {
            self.counters.server_closed(ServerClosed::Idle);
            let pid = place.warm.server.id();
            tracing::info!(pid, "codex has waited long enough; it is closed");
            self.waiting().end_one(place);
        }
    }

    /// Ends one of this conversation that is of no use, and waits for that as [`Pool::closed`] does.
    pub async fn end(&self, key: &SessionKey, closes: impl Future<Output = ()> + Send + 'static) {
        self.waiting().end(key.clone(), closes);
        self.closed(key).await;
    }

    /// Waits until those of this conversation that are being closed have ended: until then, codex lets nobody else have
    /// it. If this is dropped, they end all the same.
    pub async fn closed(&self, key: &SessionKey) {
        let closing = self.waiting().closing(|whose| whose == key);
        wait(closing).await;
    }

    /// Ends the one that waits for this conversation, and waits until nothing of it is left.
    pub async fn release(&self, key: &SessionKey) {
        let released = self.remove(|place| place.warm.thread.purpose.key == *key);
        if let Some(place) = released {
            self.counters.server_closed(ServerClosed::Released);
            self.waiting().end_one(place);
        }
        self.closed(key).await;
    }

    /// Forgets one that has ended.
    pub fn forget(&self, pid: i32) {
        let ended = |place: &Place| place.warm.server.id() == pid && !place.warm.server.is_alive();
        if self.remove(ended).is_some() {
            self.counters.server_closed(ServerClosed::Broken);
        }
    }

    /// Closes all that wait, and waits until nothing is left of them and of those that are being closed. None waits after
    /// that.
    pub async fn close(&self) {
        let closing = {
            let mut waiting = self.waiting();
            waiting.closed = true;
            for place in std::mem::take(&mut waiting.all) {
                self.counters.server_taken();
                self.counters.server_closed(ServerClosed::Shutdown);
                waiting.end_one(place);
            }
            waiting.closing(|_| true)
        };
        wait(closing).await;
    }

    fn remove(&self, wanted: impl Fn(&Place) -> bool) -> Option<Place> {
        let mut waiting = self.waiting();
        let place = waiting.all.iter().position(wanted)?;
        self.counters.server_taken();
        Some(waiting.all.remove(place))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn end_one(&mut self, place: Place) {
        let Warm { server, thread } = place.warm;
        self.end(thread.purpose.key, server.close());
    }

    /// Has one end. Nobody need wait for that.
    fn end(&mut self, key: SessionKey, closes: impl Future<Output = ()> + Send + 'static) {
        self.closing
            .retain(|(_, ended)| ended.has_changed().is_ok());
        let (ends, ended) = watch::channel(());
        tokio::spawn(async move {
            closes.await;
            drop(ends);
        });
        self.closing.push((key, ended));
    }

    fn closing(&self, wanted: impl Fn(&SessionKey) -> bool) -> Vec<watch::Receiver<()>> {
        let closing = self.closing.iter().filter(|(key, _)| wanted(key));
        closing.map(|(_, ended)| ended.clone()).collect()
    }
}

/// Waits until all of these have ended.
async fn wait(closing: Vec<watch::Receiver<()>>) {
    for mut ended in closing {
        // An error, since nothing is ever sent.
        let _closed = ended.changed().await;
    }
}
