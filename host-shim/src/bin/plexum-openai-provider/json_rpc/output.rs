//! The one writer of standard output.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::json_line::write_line;

/// How many answers may wait. Answers are small: no more than a few KiB each.
const WAITING_ANSWERS: usize = 256;

/// How many events may wait before the turns wait too; one may have some MB.
const WAITING_EVENTS: usize = 16;

/// How much is written at a time, unless one message is longer.
const BATCH_BYTES: usize = 64 * 1024;

/// How long a client may read nothing while the last messages are sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to the client. The writer ends when both senders are gone; when it has ended before, both are
/// closed.
pub struct Output<M> {
    /// Answers overtake events, so that a flood of these holds up no answer.
    pub answers: mpsc::Sender<M>,
    /// Events come in the order in which they are sent.
    pub events: mpsc::Sender<M>,
    /// What became of the writer.
    pub writer: JoinHandle<io::Result<()>>,
}

impl<M: Serialize + Send + 'static> Output<M> {
    /// Starts the writer. Once `finishing` is true, it gives up with [`io::ErrorKind::TimedOut`] when the client stops
    /// reading; until then it waits forever.
    pub fn to(
        writer: impl AsyncWrite + Unpin + Send + 'static,
        finishing: watch::Receiver<bool>,
    ) -> Self {
        Self::with_patience(writer, finishing, PATIENCE)
    }

    fn with_patience(
        writer: impl AsyncWrite + Unpin + Send + 'static,
        finishing: watch::Receiver<bool>,
        patience: Duration,
    ) -> Self {
        let (answers, waiting_answers) = mpsc::channel(WAITING_ANSWERS);
        let (events, waiting_events) = mpsc::channel(WAITING_EVENTS);
        let queue = Queue {
            answers: waiting_answers,
            events: waiting_events,
        };
        Output {
            answers,
            events,
            writer: tokio::spawn(write(queue, writer, finishing, patience)),
        }
    }
}

/// What waits to be written.
struct Queue<M> {
    answers: mpsc::Receiver<M>,
    events: mpsc::Receiver<M>,
}

impl<M> Queue<M> {
    /// The next message; `None` when no more can come.
    async fn next(&mut self) -> Option<M> {
        tokio::select! {
            biased;
            Some(answer) = self.answers.recv() => Some(answer),
            Some(event) = self.events.recv() => Some(event),
            else => None,
        }
    }

    /// The next message, if there is one already.
    fn ready(&mut self) -> Option<M> {
        let answer = self.answers.try_recv();
        answer.or_else(|_| self.events.try_recv()).ok()
    }
}

async fn write<M: Serialize>(
    mut queue: Queue<M>,
    mut writer: impl AsyncWrite + Unpin,
    mut finishing: watch::Receiver<bool>,
    patience: Duration,
) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Some(first) = queue.next().await {
        let mut message = Some(first);
        while let Some(next) = message {
            write_line(&next, &mut batch)?;
            message = if batch.len() < BATCH_BYTES {
                queue.ready()
            } else {
                None
            };
        }
        tokio::select! {
            written = async { writer.write_all(&batch).await?; writer.flush().await } => written?,
            () = out_of(patience, &mut finishing) => return Err(io::ErrorKind::TimedOut.into()),
        }
        batch.clear();
        batch.shrink_to(BATCH_BYTES);
    }
    Ok(())
}

async fn out_of(patience: Duration, finishing: &mut watch::Receiver<bool>) {
    // If the sender is gone, the server is ending too.
    let _ = finishing.wait_for(|finishing| *finishing).await;
    tokio::time::sleep(patience).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Sent {
        Event { index: u32, text: String },
        Answer { result: () },
    }

    fn event(index: u32) -> Sent {
        let text = "x".repeat(1000);
        Sent::Event { index, text }
    }

    #[tokio::test]
    async fn events_wait_for_the_client_and_answers_overtake_them() {
        let (client, server) = tokio::io::duplex(1);
        let (_finishing, seen) = watch::channel(false);
        let output = Output::to(server, seen);
        let mut sent = 0;
        // The client reads nothing, so this ends.
        while let Ok(()) =
            tokio::time::timeout(Duration::from_millis(50), output.events.send(event(sent)))
                .await
                .map(Result::unwrap)
        {
            sent += 1;
        }
        assert!(sent as usize >= WAITING_EVENTS, "{sent}");
        assert!(
            (sent as usize) < 2 * WAITING_EVENTS + BATCH_BYTES / 1000,
            "{sent}"
        );
        output
            .answers
            .send(Sent::Answer { result: () })
            .await
            .unwrap();
        drop((output.answers, output.events));
        let mut text = String::new();
        tokio::io::BufReader::new(client)
            .read_to_string(&mut text)
            .await
            .unwrap();
        output.writer.await.unwrap().unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), sent as usize + 1);
        let answer = lines
            .iter()
            .position(|line| line.contains("result"))
            .unwrap();
        assert!(answer + WAITING_EVENTS / 2 < lines.len(), "{answer}");
        let indexes = lines.iter().filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["index"].as_u64()
        });
        assert!(
            indexes.eq(0..u64::from(sent)),
            "the events are not in order"
        );
    }

    #[tokio::test]
    async fn only_at_the_end_is_a_client_that_does_not_read_given_up() {
        let (_client, server) = tokio::io::duplex(1);
        let (finishing, seen) = watch::channel(false);
        let patience = Duration::from_millis(1);
        let output = Output::with_patience(server, seen, patience);
        output.events.send(event(0)).await.unwrap();
        tokio::time::sleep(patience * 50).await;
        assert!(!output.writer.is_finished());
        finishing.send(true).unwrap();
        let error = output.writer.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(output.events.is_closed());
    }

    #[tokio::test]
    async fn a_client_that_is_gone_closes_the_way_to_it() {
        let (client, server) = tokio::io::duplex(1);
        drop(client);
        let (_finishing, seen) = watch::channel(false);
        let output = Output::to(server, seen);
        output.events.send(event(0)).await.unwrap();
        output.answers.closed().await;
        let error = output.writer.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
