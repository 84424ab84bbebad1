//! One client, from its first line to the last.

use std::io;
use std::pin::pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};

use super::line::{Line, LineReader, MAX_LINE_BYTES};
use super::message::{Call, Incoming, Malformed, readable};
use super::outgoing::Outgoing;
use super::output::Output;
use super::service::{MessageOf, Reply, Room, Service, Taken};

/// Has `service` answer the client that writes to `reader` and reads from `writer`, until it asks for the end, closes its
/// side or is gone, or until `stopped`. The service gets the way for what happens meanwhile. All work is over at the end,
/// and everything is written.
///
/// # Errors
/// When not everything could be written: [`io::ErrorKind::BrokenPipe`] when the client is gone,
/// [`io::ErrorKind::TimedOut`] when it stopped reading.
pub async fn serve<S: Service>(
    service: impl FnOnce(mpsc::Sender<MessageOf<S>>) -> S,
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
    let mut service = service(events.clone());
    let mut lines = LineReader::new(reader, MAX_LINE_BYTES);
    let mut stopped = pin!(stopped);
    let mut last = None;
    let mut open = true;
    // A line is read only when there is room for its answer. So nothing in here waits for the client
    // where a signal, or the end of a turn, could not be seen.
    let mut room = None;
    let finish = |service: &mut S, why: &str| {
        if !finishing.send_replace(true) {
            tracing::info!(why, "the server ends");
        }
        service.cancel_all();
    };
    while !(*finishing.borrow() && service.is_idle()) {
        let ending = *finishing.borrow();
        tokio::select! {
            permit = answers.reserve(), if open && room.is_none() => match permit {
                Ok(permit) => room = Some(permit),
                // Seen below.
                Err(_) => open = false,
            },
            line = lines.next(), if open && room.is_some() => match line {
                Ok(Some(line)) => {
                    let taken = room.take().map(|room| take(&mut service, &line, room));
                    if let Some(Taken::Ends(message)) = taken {
                        last = message;
                        finish(&mut service, "the client asked for it");
                    }
                }
                Ok(None) => {
                    open = false;
                    finish(&mut service, "the client has closed its side");
                }
                Err(error) => {
                    open = false;
                    tracing::error!(%error, "standard input cannot be read");
                    finish(&mut service, "standard input cannot be read");
                }
            },
            () = service.some_is_over(), if !service.is_idle() => {}
            why = &mut stopped, if !ending => finish(&mut service, why),
            () = events.closed(), if !ending => finish(&mut service, "standard output cannot be written"),
        }
    }
    if let Some(last) = last {
        // Behind the events, so that it is the last message. If it cannot be sent, the writer says why.
        let _ = events.send(last).await;
    }
    // The writer ends when all senders are gone.
    drop((room, service, events));
    drop(answers);
    writer
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Has the service take what a line holds.
fn take<S: Service>(service: &mut S, line: &Line, room: Room<'_, S>) -> Taken<MessageOf<S>> {
    let Malformed { id, error } = match readable(line, S::SHORTER_LINES) {
        Ok(text) => match Incoming::parse(&text) {
            Ok(Incoming::Call(Call { id, method, params })) => {
                let reply = Reply::new(id, &method, room);
                return service.take(&method, params, reply);
            }
            Ok(Incoming::Answer) => {
                tracing::warn!("the client sent an answer without a question; it is ignored");
                return Taken::GoesOn;
            }
            Err(malformed) => malformed,
        },
        Err(malformed) => malformed,
    };
    room.send(Outgoing::answer(id, Err(error)));
    Taken::GoesOn
}
