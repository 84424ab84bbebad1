//! Whether a service finds codex too.

use std::path::Path;

use super::{Check, SYSTEMD_PATH, quoted, under_systemd};
use crate::config::Config;
use crate::grant::npm_script::program_behind;

/// The check of the codex at `found`, the one that this shell's PATH or the configuration selects.
pub fn check(config: &Config, found: &Path) -> Vec<Check> {
    const ID: &str = "service";
    if config.binary.is_some() {
        return vec![Check::ok(
            ID,
            "`binary` names codex, so a service finds it too",
        )];
    }
    // The same advice as that about npm's script, where it is one.
    let program = program_behind(found).unwrap_or_else(|| found.to_owned());
    let remedy = format!("write into config.json: \"binary\": {}", quoted(&program));
    vec![match under_systemd("codex") {
        Some(there) if there.canonicalize().ok() == found.canonicalize().ok() => Check::ok(
            ID,
            format!("a systemd service finds {} too", there.display()),
        ),
        Some(there) => Check::warning(
            ID,
            format!(
                "a systemd service would start another codex, {}",
                there.display()
            ),
            remedy,
        ),
        None => Check::warning(
            ID,
            format!(
                "codex is on this shell's PATH only: a systemd service looks in {SYSTEMD_PATH}"
            ),
            remedy,
        ),
    }]
}
