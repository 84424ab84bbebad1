//! Errors that say which file they are about, which `io::Error` does not.

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
