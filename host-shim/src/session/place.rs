//! Work on files: where it may block, and errors that say which file they are about, which `io::Error` does not.

use std::io::{self, ErrorKind};
use std::path::Path;

/// An error of the operating system, with the place and what could not be done there.
pub fn at(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

/// The same for a reason of our own, not of the operating system.
pub fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{} {why}", path.display()))
}

/// Runs file work where it blocks nobody. Once begun it is carried through even when the turn
/// is dropped.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
