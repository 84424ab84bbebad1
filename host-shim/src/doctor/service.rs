//! Whether a service finds codex too, and can start it.

use std::path::Path;

use super::installed::telling_line;
use super::{Check, SYSTEMD_PATH, quoted, under_systemd};
use crate::codex::query;
use crate::config::Config;
use crate::grant::npm_script::program_behind;

/// The check of the codex at `found`, the one that this shell's PATH or the configuration selects.
pub fn check(config: &Config, found: &Path) -> Vec<Check> {
    const ID: &str = "service";
    if config.binary.is_some() {
        return vec![Check::ok(
            ID,
            "`binary` names codex, so a service looks for no other",
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

/// Starts what a service would start, with the little that a service has in its environment. `found` is the codex that
/// this shell's PATH or the configuration selects, and it starts from here.
pub async fn start(config: &Config, found: &Path) -> Option<Check> {
    const ID: &str = "service-start";
    let program = match config.binary {
        Some(_) => found.to_owned(),
        None => under_systemd("codex")?,
    };
    let shown = program.display();
    let answer = query::ask_as_service(&program, &["--version"], SYSTEMD_PATH).await;
    let said = match answer {
        Ok(answer) if answer.status.success() => {
            return Some(Check::ok(
                ID,
                format!("a systemd service can start {shown}"),
            ));
        }
        Ok(answer) => {
            let said = telling_line(&answer.stderr).unwrap_or("nothing");
            format!("{said} ({})", answer.status)
        }
        Err(error) => error.said,
    };
    let remedy = match program_behind(&program) {
        Some(behind) => format!("write into config.json: \"binary\": {}", quoted(&behind)),
        None => "give the unit a PATH with what the script needs (`Environment=PATH=…`), or name as `binary` the program that the script starts".to_owned(),
    };
    Some(Check::warning(
        ID,
        format!("with the PATH of a systemd service, {shown} does not start: {said}"),
        remedy,
    ))
}
