//! The program behind the script that npm installs.
//!
//! `@openai/codex` is a node script that starts the program of a second package, one for each platform.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The program that the script at `path` starts, if that is npm's and the program is there. It may also be the shell
/// script that pnpm puts in front of npm's.
pub fn program_behind(path: &Path) -> Option<PathBuf> {
    let script = path.canonicalize().ok()?;
    let interpreter = interpreter(&script)?;
    if is_node(&interpreter) {
        return native(&script);
    }
    is_shell(&interpreter)
        .then(|| behind_shim(&script))
        .flatten()
        .and_then(|script| native(&script))
}

/// More than any such script has.
const MAX_SHIM_BYTES: u64 = 64 * 1024;

/// npm's script, which pnpm's names in quotes, often beginning with the folder that it is in (`$basedir`).
fn behind_shim(shim: &Path) -> Option<PathBuf> {
    let mut text = String::new();
    let file = File::open(shim).ok()?;
    file.take(MAX_SHIM_BYTES).read_to_string(&mut text).ok()?;
    let folder = shim.parent()?;
    let words = text.split(['"', '\'', ' ', '\n', '\t']);
    let scripts = words.filter(|word| word.ends_with("/@openai/codex/bin/codex.js"));
    scripts
        .map(|word| word.trim_start_matches("$basedir/"))
        .find_map(|word| folder.join(word).canonicalize().ok())
}

fn is_shell(interpreter: &str) -> bool {
    let words = interpreter.split(' ');
    words
        .filter_map(|word| Path::new(word).file_name())
        .any(|name| ["sh", "bash", "dash"].iter().any(|shell| name == *shell))
}

/// The interpreter in the first line of a script; `None` if the file is not a script.
pub(crate) fn interpreter(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    // As much as Linux looks at.
    File::open(path)
        .ok()?
        .take(256)
        .read_to_end(&mut start)
        .ok()?;
    let line = start.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

pub(crate) fn is_node(interpreter: &str) -> bool {
    let words = interpreter.split(' ');
    words
        .filter_map(|word| Path::new(word).file_name())
        .any(|name| name == "node")
}

/// The program that the script at `script` starts, found as the script finds it.
pub(crate) fn native(script: &Path) -> Option<PathBuf> {
    let (package, architecture) = match std::env::consts::ARCH {
        "x86_64" => ("codex-linux-x64", "x86_64"),
        "aarch64" => ("codex-linux-arm64", "aarch64"),
        _ => return None,
    };
    let triple = format!("{architecture}-unknown-linux-musl");
    let beside = script.parent()?.parent()?.join("vendor");
    let packages = script.ancestors().skip(1).map(|folder| {
        folder
            .join("node_modules/@openai")
            .join(package)
            .join("vendor")
    });
    packages
        .chain([beside])
        .flat_map(|vendor| {
            let folder = vendor.join(&triple);
            [folder.join("bin/codex"), folder.join("codex/codex")]
        })
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_script_is_distinguished_from_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codex");
        for (content, expected) in [
            ("#!/usr/bin/env node\n// …", Some(true)),
            ("#! /opt/node/bin/node --no-warnings\n", Some(true)),
            ("#!/bin/sh\n", Some(false)),
            ("#!/usr/bin/env nodejs-like\n", Some(false)),
            ("\x7fELF", None),
            ("", None),
        ] {
            std::fs::write(&path, content).unwrap();
            let found = interpreter(&path);
            assert_eq!(found.map(|line| is_node(&line)), expected, "{content}");
        }
    }

    #[test]
    fn the_program_behind_the_shell_script_of_pnpm_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let package = root.join("global/5/node_modules/@openai/codex");
        let script = package.join("bin/codex.js");
        let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let program = package.join("vendor").join(triple).join("codex/codex");
        for path in [&script, &program] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "#!/usr/bin/env node\n").unwrap();
        }
        let shim = root.join("codex");
        let exec = |script: &str| {
            format!(
                "#!/bin/sh\nbasedir=$(dirname \"$0\")\nif [ -x \"$basedir/node\" ]; then\n  exec \"$basedir/node\" \"{script}\" \"$@\"\nfi\nexec node \"{script}\" \"$@\"\n"
            )
        };
        let inside = "global/5/node_modules/@openai/codex/bin/codex.js";
        for named in [format!("$basedir/{inside}"), script.display().to_string()] {
            std::fs::write(&shim, exec(&named)).unwrap();
            assert_eq!(program_behind(&shim), Some(program.clone()), "{named}");
        }
        std::fs::write(&shim, exec("/nowhere/@openai/codex/bin/codex.js")).unwrap();
        assert_eq!(program_behind(&shim), None);
        std::fs::write(&shim, "#!/bin/sh\nexec something else\n").unwrap();
        assert_eq!(program_behind(&shim), None);
    }

    #[test]
    fn the_program_is_found_beside_the_script_and_in_the_folders_above() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder
            .path()
            .join("node_modules/@openai/codex/bin/codex.js");
        assert_eq!(native(&script), None);
        let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let short = if std::env::consts::ARCH == "x86_64" {
            "x64"
        } else {
            "arm64"
        };
        let beside = folder.path().join("node_modules/@openai/codex/vendor");
        let package = folder
            .path()
            .join(format!("node_modules/@openai/codex-linux-{short}/vendor"));
        for (vendor, name) in [(beside, "codex/codex"), (package, "bin/codex")] {
            let program = vendor.join(&triple).join(name);
            std::fs::create_dir_all(program.parent().unwrap()).unwrap();
            std::fs::write(&program, "").unwrap();
            assert_eq!(native(&script), Some(program));
        }
    }
}
