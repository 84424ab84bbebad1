//! Notices that standard output was closed, even while there is nothing to write: a model may think for
//! half an hour before a write would fail.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// Resolves when the other end of standard output is closed. If there is no other end, as with a file, it never does.
pub async fn hangup() {
    let (sender, receiver) = oneshot::channel();
    let watcher = std::thread::Builder::new()
        .name("hangup".to_owned())
        .spawn(move || {
            if wait().is_ok() {
                // The receiver is gone: the program is ending already.
                let _ = sender.send(());
            }
        });
    if let Err(error) = watcher {
        tracing::warn!(%error, "standard output cannot be watched; the next write will notice if it is closed");
    }
    if receiver.await.is_err() {
        std::future::pending().await
    }
}

fn wait() -> rustix::io::Result<()> {
    let stdout = io::stdout();
    loop {
        // The kernel reports these two without being asked.
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut watched, None) {
            Ok(_)
                if watched
                    .iter()
                    .any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR)) =>
            {
                return Ok(());
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}
