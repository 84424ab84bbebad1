//! A folder for one input.

use std::path::Path;

use tempfile::TempDir;

/// A new folder, in memory where there is such a place.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    folder.expect("a folder")
}
