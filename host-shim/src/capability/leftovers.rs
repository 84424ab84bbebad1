//! What the codex processes of a turn have left when they ended.

use std::mem;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Hears of the end of each codex of a turn, also of those that the component has let go of.
pub struct Leftovers {
    /// A clone of it belongs to each codex that has not ended.
    sender: UnboundedSender<String>,
    receiver: UnboundedReceiver<String>,
}

impl Default for Leftovers {
    fn default() -> Self {
        let (sender, receiver) = unbounded_channel();
        Leftovers { sender, receiver }
    }
}

impl Leftovers {
    /// For a codex that is started now: where it says what it leaves. It is to be dropped when nothing of it is left.
    pub fn sender(&self) -> UnboundedSender<String> {
        self.sender.clone()
    }

    /// Waits until nothing is left of any codex so far, and returns the warnings about them, each once.
    pub async fn all(&mut self) -> Vec<String> {
        let Leftovers {
            sender,
            mut receiver,
        } = mem::take(self);
        drop(sender);
        let mut left = Vec::new();
        while let Some(text) = receiver.recv().await {
            if !left.contains(&text) {
                left.push(text);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_all_and_says_each_thing_once() {
        let mut leftovers = Leftovers::default();
        let senders = [(); 3].map(|()| leftovers.sender());
        let began = tokio::time::Instant::now();
        for (millis, sender) in [10, 20, 30].into_iter().zip(senders) {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                if millis > 10 {
                    sender.send("a tool".into()).unwrap();
                }
            });
        }
        assert_eq!(leftovers.all().await, ["a tool"]);
        assert_eq!(began.elapsed(), Duration::from_millis(30));
        assert!(leftovers.all().await.is_empty());
    }
}
