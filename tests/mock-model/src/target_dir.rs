//! The cargo target folder this program was built into.

use std::path::PathBuf;

/// The nearest ancestor of the running program that cargo uses as a target folder.
///
/// None for a binary that was copied elsewhere.
#[must_use]
pub fn target_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    // Cargo writes this file into the root of every target folder that it uses, and only there. (It
    // marks only those with a CACHEDIR.TAG that it has also created.)
    program
        .ancestors()
        .find(|folder| folder.join(".rustc_info.json").is_file())
        .map(PathBuf::from)
}
