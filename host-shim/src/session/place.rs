//! Work on files: on a thread that may block, and with errors that name the file, which `io::Error` does not.

use std::io::{self, ErrorKind};
use std::path::Path;

/// An error of the operating system, with the file and what could not be done with it.
pub fn at(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

/// The same for a reason of our own, not of the operating system.
pub fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{} {why}", path.display()))
}

/// Runs file work on a thread that may block. Once begun, it is finished even if the turn is dropped.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
