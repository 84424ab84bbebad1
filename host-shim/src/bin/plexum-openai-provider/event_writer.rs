//! Shows the events of one turn from a thread of its own: a reader that stalls holds up no clock and no signal.

use std::io;

use plexum_openai_provider::Event;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// The way to standard output.
pub struct EventWriter {
    events: mpsc::Sender<Event>,
    thread: JoinHandle<io::Result<()>>,
}

impl EventWriter {
    /// How many threads of the runtime it occupies.
    pub const THREADS: usize = 1;

    /// Starts the thread, which calls `show` for each event in order, until that fails. Must be called within a
    /// runtime; one that is not to wait for a reader that stalls must be shut down in the background.
    pub fn start(mut show: impl FnMut(&Event) -> io::Result<()> + Send + 'static) -> Self {
        // The turn keeps what waits, and bounds it.
        let (events, mut waiting) = mpsc::channel(1);
        let thread = spawn_blocking(move || {
            while let Some(event) = waiting.blocking_recv() {
                show(&event)?;
            }
            Ok(())
        });
        EventWriter { events, thread }
    }

    /// Hands over an event as soon as there is room, and returns whether the thread still takes events. If not,
    /// [`EventWriter::finish`] says why.
    pub async fn show(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// Waits until the thread takes no more events, although there may be none. [`EventWriter::finish`] says why.
    pub async fn closed(&self) {
        self.events.closed().await;
    }

    /// Waits until everything is written.
    pub async fn finish(self) -> io::Result<()> {
        drop(self.events);
        self.thread.await.map_err(io::Error::other)?
    }
}
