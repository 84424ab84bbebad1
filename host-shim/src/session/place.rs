//! Errors that say which file they are about, which `io::Error` does not.

use std::io::{self, ErrorKind};
use std::path::Path;

/// An error of the operating system, with the place and what could not be done there.
pub fn at(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

/// The same for something that the operating system has nothing against.
pub fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{} {why}", path.display()))
}
