//! Whether codex is the script that npm installs.

use std::path::Path;

use super::installed::Installed;
use super::{Check, quoted, under_systemd};
use crate::codex::version::Version;
use crate::grant::npm_script::{interpreter, is_node, native};

/// From this version on, with a node that supports it, the script becomes the program and leaves no process of its own.
const LEAVES_NO_PROCESS: Version = Version(0, 169, 0);

/// The checks of the script, if codex is one, and of the node that it needs.
pub fn checks(codex: &Installed) -> Vec<Check> {
    const ID: &str = "codex-wrapper";
    let Ok(script) = codex.path.canonicalize() else {
        return Vec::new();
    };
    let interpreter = match interpreter(&script) {
        None => return vec![Check::ok(ID, "codex is the program itself, not a script")],
        Some(interpreter) if !is_node(&interpreter) => {
            return vec![Check::ok(
                ID,
                format!("codex is a script for {interpreter}, which is used as it is"),
            )];
        }
        Some(interpreter) => interpreter,
    };
    let mut costs = "npm's node script costs about 80 ms a turn".to_owned();
    if codex.version < LEAVES_NO_PROCESS {
        costs += ", and leaves codex and its tools running when a signal ends only the script";
    }
    let wrapper = match native(&script) {
        Some(native) => Check::warning(
            ID,
            costs,
            format!(
                "name the program behind it in config.json: \"binary\": {}",
                quoted(&native)
            ),
        ),
        None => Check::warning(
            ID,
            format!("{costs}; the program behind it was not found"),
            "reinstall codex with `npm install -g @openai/codex`, including optional packages",
        ),
    };
    vec![wrapper, node(&interpreter)]
}

/// Whether a service finds the node of this interpreter line.
fn node(interpreter: &str) -> Check {
    const ID: &str = "node";
    let named = Path::new(interpreter.split(' ').next().unwrap_or_default());
    if named.file_name().is_some_and(|name| name == "node") {
        return Check::ok(ID, format!("the script names {}", named.display()));
    }
    match under_systemd("node") {
        Some(node) => Check::ok(ID, format!("{}, also for a service", node.display())),
        None => Check::warning(
            ID,
            "node is not where a systemd service looks for programs, so that codex would not start there",
            "name the program behind the script as `binary`, or give the unit a PATH with `Environment=PATH=…`",
        ),
    }
}
