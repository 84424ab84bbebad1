//! The second provider, of `tests/echo-provider`.

use std::path::PathBuf;
use std::sync::OnceLock;

/// The file of its component, built if need be.
///
/// # Panics
/// When it cannot be built.
pub fn component() -> &'static PathBuf {
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    COMPONENT.get_or_init(|| crate::component::build("plexum-echo-provider"))
}
