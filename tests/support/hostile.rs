//! The hostile component, of `tests/hostile`.

use std::path::PathBuf;
use std::sync::OnceLock;

/// What stands between the arguments in a prompt for it.
pub const SEPARATOR: &str = "\u{1f}";

/// Its file, built if need be.
///
/// # Panics
/// When it cannot be built.
pub fn component() -> &'static PathBuf {
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    COMPONENT.get_or_init(|| crate::component::build("plexum-openai-provider-hostile"))
}
