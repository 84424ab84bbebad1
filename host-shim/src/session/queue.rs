//! The order of turns that wait for the same conversation, within this process.
//!
//! A store's lock keeps turns apart, but has no order: a locked file is tried again and again. So the turns of this
//! process line up here first, and only the foremost of each conversation asks the store. First come, first served. Where
//! conversations share a lock, they share a line ([`SessionStore::line`](crate::SessionStore::line)).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::session::store::SessionKey;

type Lines = HashMap<SessionKey, Weak<Line>>;

/// The lines of all conversations.
#[derive(Debug, Clone, Default)]
pub struct Queue(Arc<Mutex<Lines>>);

/// The turns that wait for one conversation.
#[derive(Debug)]
struct Line {
    queue: Queue,
    key: SessionKey,
    foremost: Arc<tokio::sync::Mutex<()>>,
    /// Whether the foremost turn does not run yet, because too many run elsewhere.
    is_held_up: AtomicBool,
}

/// The foremost turn of a conversation. Dropping it lets the next one move up.
#[derive(Debug)]
pub struct Foremost {
    line: Arc<Line>,
    _turn: OwnedMutexGuard<()>,
}

impl Queue {
    /// Waits until this turn is the foremost of its conversation. To give up, drop the future.
    pub async fn wait(&self, key: &SessionKey) -> Foremost {
        let line = self.line(key);
        let turn = Arc::clone(&line.foremost).lock_owned().await;
        Foremost { line, _turn: turn }
    }

    /// Whether the foremost turn of a conversation waits for turns elsewhere.
    pub fn is_held_up(&self, key: &SessionKey) -> bool {
        let line = self.lines().get(key).and_then(Weak::upgrade);
        line.is_some_and(|line| line.is_held_up.load(Ordering::Relaxed))
    }

    fn line(&self, key: &SessionKey) -> Arc<Line> {
        let mut lines = self.lines();
        if let Some(line) = lines.get(key).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Line {
            queue: self.clone(),
            key: key.clone(),
            foremost: Arc::default(),
            is_held_up: AtomicBool::new(false),
        });
        lines.insert(key.clone(), Arc::downgrade(&line));
        line
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Foremost {
    /// Notes whether this turn waits for turns elsewhere.
    pub fn set_held_up(&self, is_held_up: bool) {
        self.line.is_held_up.store(is_held_up, Ordering::Relaxed);
    }
}

impl Drop for Foremost {
    fn drop(&mut self) {
        self.set_held_up(false);
    }
}

/// Removes the line: no turn waits for the conversation or runs in it.
impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = self.queue.lines();
        // Another line may have begun meanwhile.
        if lines
            .get(&self.key)
            .is_some_and(|line| line.strong_count() == 0)
        {
            lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(workspace: &str) -> SessionKey {
        SessionKey::of_workspace(workspace)
    }

    #[tokio::test(start_paused = true)]
    async fn turns_of_a_workspace_run_in_the_order_in_which_they_came() {
        let queue = Queue::default();
        let first = queue.wait(&key("a")).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..10 {
            let (queue, order) = (queue.clone(), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _turn = queue.wait(&key("a")).await;
                order.lock().unwrap().push(number);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }));
            // It is in the line before the next one comes.
            tokio::task::yield_now().await;
        }
        // Another workspace has a line of its own.
        drop(queue.wait(&key("b")).await);
        drop(first);
        for turn in waiting {
            turn.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
        assert!(queue.lines().is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_is_held_up_says_so_until_it_is_gone() {
        let queue = Queue::default();
        let path = &key("a");
        let first = queue.wait(path).await;
        assert!(!queue.is_held_up(path));
        first.set_held_up(true);
        assert!(queue.is_held_up(path) && !queue.is_held_up(&key("b")));
        let second = queue.wait(path);
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("two are foremost"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        let _second = second.await;
        assert!(!queue.is_held_up(path));
    }
}
