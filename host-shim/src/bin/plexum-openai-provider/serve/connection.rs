//! One client, from its first line to the last.

use std::io;
use std::pin::pin;

use plexum_openai_provider::{Description, Provider};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::line::{LineReader, MAX_LINE_BYTES};
use super::message::Id;
use super::outgoing::Outgoing;
use super::output::Output;
use super::requests::{Reply, Requests};
use super::success::Success;
use super::turns::Turns;

/// Answers the client that writes to `reader` and reads from `writer`, until it asks for the end, closes
/// its side or is gone, or until `stopped`. All turns are over then, and everything is written.
///
/// # Errors
/// When not everything could be written: [`io::ErrorKind::BrokenPipe`] when the client is gone,
/// [`io::ErrorKind::TimedOut`] when it stopped reading.
pub async fn serve(
    provider: Provider,
    description: Description,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin + Send + 'static,
    stopped: impl Future<Output = &'static str>,
) -> io::Result<()> {
    let (finishing, seen) = watch::channel(false);
    let Output {
        answers,
        events,
        writer,
    } = Output::to(writer, seen);
    let turns = Turns::new(provider.clone(), events.clone());
    let mut requests = Requests::new(&provider, description, turns);
    let mut lines = LineReader::new(reader, MAX_LINE_BYTES);
    let mut stopped = pin!(stopped);
    let mut asked: Option<Id> = None;
    let mut open = true;
    // A line is read only when there is room for its answer. So nothing in here waits for the client
    // where a signal, or the end of a turn, could not be seen.
    let mut room = None;
    let finish = |turns: &Turns, why: &str| {
        if !finishing.send_replace(true) {
            tracing::info!(why, "the server ends");
        }
        turns.cancel_all();
    };
    while !(*finishing.borrow() && requests.turns.is_empty()) {
        let ending = *finishing.borrow();
        tokio::select! {
            permit = answers.reserve(), if open && room.is_none() => match permit {
                Ok(permit) => room = Some(permit),
                // Seen below.
                Err(_) => open = false,
            },
            line = lines.next(), if open && room.is_some() => match line {
                Ok(Some(line)) => match requests.take(&line) {
                    Reply::Nothing => {}
                    Reply::Answer(answer) => {
                        if let Some(room) = room.take() {
                            room.send(answer);
                        }
                    }
                    Reply::Begin { answer, turn_id, start } => {
                        if let (Some(answer), Some(room)) = (answer, room.take()) {
                            room.send(answer);
                        }
                        requests.turns.begin(turn_id, start);
                    }
                    Reply::ShutDown(id) => {
                        asked = id;
                        finish(&requests.turns, "the client asked for it");
                    }
                },
                Ok(None) => {
                    open = false;
                    finish(&requests.turns, "the client has closed its side");
                }
                Err(error) => {
                    open = false;
                    tracing::error!(%error, "standard input cannot be read");
                    finish(&requests.turns, "standard input cannot be read");
                }
            },
            () = requests.turns.one_over(), if !requests.turns.is_empty() => {}
            why = &mut stopped, if !ending => finish(&requests.turns, why),
            () = events.closed(), if !ending => finish(&requests.turns, "standard output cannot be written"),
        }
    }
    if let Some(id) = asked {
        // Behind the events, so that it is the last message. If it cannot be sent, the writer says why.
        let answer = Outgoing::answer(id, Ok(Success::Done {}));
        let _ = events.send(answer).await;
    }
    // The writer ends when all senders are gone.
    drop((room, requests, events));
    drop(answers);
    writer
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
