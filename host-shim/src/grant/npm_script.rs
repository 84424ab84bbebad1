//! The program behind the script that npm installs.
//!
//! `@openai/codex` is a node script that starts the program of a second package, one for each platform.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The program that the script at `path` starts, if that is npm's and the program is there.
pub fn program_behind(path: &Path) -> Option<PathBuf> {
    let script = path.canonicalize().ok()?;
    interpreter(&script).filter(|line| is_node(line))?;
    native(&script)
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
