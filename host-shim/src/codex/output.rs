//! What a codex prints, as its task hands it out.

use std::io;

use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::framing::Lines;

/// The batches of one turn, which are taken piece by piece.
pub struct Output {
    batches: Receiver<io::Result<Lines>>,
    /// How many batches have come.
    taken: u64,
    /// What is left of the last one, which was more than was asked for.
    rest: Lines,
}

impl Output {
    /// What comes here.
    pub fn new(batches: Receiver<io::Result<Lines>>) -> Self {
        Output {
            batches,
            taken: 0,
            rest: Lines::default(),
        }
    }

    /// The next lines, at most `max_bytes` unless the first line is longer; lines that [`Lines::is_end`] at the end. If none
    /// has come yet, `waits` tells the task so, with the number of batches that have come. May be dropped while it waits;
    /// nothing is lost.
    pub async fn lines(
        &mut self,
        max_bytes: usize,
        waits: impl AsyncFnOnce(u64),
    ) -> io::Result<Lines> {
        if self.rest.is_end() {
            let batch = match self.batches.try_recv() {
                Ok(batch) => Some(batch),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    waits(self.taken).await;
                    self.batches.recv().await
                }
            };
            let Some(batch) = batch else {
                return Ok(Lines::default());
            };
            self.taken += 1;
            self.rest = batch?;
        }
        Ok(self.rest.take(max_bytes))
    }
}
