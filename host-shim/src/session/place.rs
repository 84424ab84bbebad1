//! Work on files: on a thread that may block, and with errors that name the file, which `io::Error` does not.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

use crate::scarcity;

/// An error of the operating system, with the file and what could not be done with it.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
struct At {
    said: String,
    source: io::Error,
}

/// An error of the operating system, with the file, what could not be done with it, and the remedy of that cause where
/// there is one.
pub fn at(path: &Path, what: &str, source: io::Error) -> io::Error {
    let remedy = match source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOLCK | Errno::OPNOTSUPP) if what.contains("locked") => Some(
            "this file system has no locks: mount it with local locks, or take a workspace elsewhere".to_owned(),
        ),
        _ if what.contains("locked") && is_forbidden(&source) => Some(FLOCK_FORBIDDEN.to_owned()),
        Some(Errno::ACCESS | Errno::PERM) => owner(path),
        Some(Errno::ROFS) => Some(
            "this file system is read-only: mount it for writing, or choose another place".to_owned(),
        ),
        _ => scarcity::limit(&source).map(str::to_owned),
    };
    let remedy = remedy.map_or(String::new(), |remedy| format!(": {remedy}"));
    let said = format!("{} {what}: {source}{remedy}", path.display());
    io::Error::new(source.kind(), At { said, source })
}

/// What to do where no lock can be taken at all.
pub const FLOCK_FORBIDDEN: &str =
    "a sandbox or a seccomp filter forbids the system call `flock`: allow it for this program";

/// Whether a lock was refused for a reason that is neither the file's nor its file system's: no permission of a file, and
/// no kernel, gives these errors for `flock`.
pub fn is_forbidden(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::PERM | Errno::NOSYS))
}

/// Whose a file is, or else its folder, if it is another user's.
fn owner(path: &Path) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    let exists = path.symlink_metadata().map(|metadata| (path, metadata));
    let (named, metadata) = exists
        .or_else(|error| {
            let folder = path.parent().ok_or(error)?;
            folder.metadata().map(|metadata| (folder, metadata))
        })
        .ok()?;
    let uid = metadata.uid();
    Some(if uid == me {
        format!(
            "give this user permission to read and write {}",
            named.display()
        )
    } else {
        format!(
            "{} belongs to the user {uid}, and this is the user {me}: run as that user, or give it to this one with `chown`",
            named.display()
        )
    })
}

/// The same for a reason of our own, not of the operating system.
pub fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{} {why}", path.display()))
}

/// Runs file work on a thread that may block. Once begun, it is finished even if the turn is dropped.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
