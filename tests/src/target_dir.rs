//! The cargo target folder this program was built into.

use std::path::PathBuf;

/// The nearest ancestor of the running program that cargo marked as a target folder.
///
/// None for a binary that was copied elsewhere.
pub(crate) fn target_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    // Cargo writes both files into the root of every target folder it creates, and only there.
    program
        .ancestors()
        .find(|folder| {
            folder.join("CACHEDIR.TAG").is_file() && folder.join(".rustc_info.json").is_file()
        })
        .map(PathBuf::from)
}
