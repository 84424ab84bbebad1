//! The folders of the machine that builds, which must not stand in what is built: the bytes would depend on the machine.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// Where the clone builds what is embedded: once for all the profiles, features and workspaces that are built into a target
/// folder, as half of a build of the component is the generator of its bindings. Clones that share a target folder have one
/// each, as the results are at the same path in it.
pub fn builds(out: &Path, workspace: &Path, target: &str) -> Result<PathBuf, String> {
    let workspace = workspace
        .canonicalize()
        .map_err(|error| format!("{}: {error}", workspace.display()))?;
    // `target/debug` and the like, or `target/x86_64-unknown-linux-musl/debug` if a target was named.
    let profile = out.ancestors().find(|at| at.join(".cargo-lock").is_file());
    let Some(above) = profile.and_then(Path::parent) else {
        return Ok(out.to_owned());
    };
    let of_target = above.file_name().is_some_and(|name| name == target);
    let target_dir = above.parent().filter(|_| of_target).unwrap_or(above);
    let of_clone = format!("{:x}", Sha256::digest(workspace.as_os_str().as_bytes()));
    let of_clone = of_clone.get(..16).unwrap_or(&of_clone);
    Ok(target_dir.join("embedded").join(of_clone))
}

/// What rustc needs to be told so that panics name a crate's source file alike on all machines.
pub fn remapped(rustc: &str) -> Result<Vec<String>, String> {
    let mut flags = Vec::new();
    // Each registry has a folder there whose name depends on how the registry is reached.
    let registries = cargo_home()?.join("registry/src");
    if registries.is_dir() {
        let entries = std::fs::read_dir(&registries)
            .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
            .map_err(|error| format!("{}: {error}", registries.display()))?;
        let mut folders: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
        folders.sort();
        flags.extend(folders.iter().map(|folder| remap(folder, "/cargo")));
    }
    // Where the source of the standard library is installed, rustc names that instead of what it was built from.
    let source = Path::new(&ask(rustc, &["--print", "sysroot"])?).join("lib/rustlib/src/rust");
    let version = ask(rustc, &["-vV"])?;
    let commit = version
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "));
    if let Some(commit) = commit {
        flags.push(remap(&source, &format!("/rustc/{commit}")));
    }
    Ok(flags)
}

fn remap(folder: &Path, name: &str) -> String {
    format!("--remap-path-prefix={}={name}", folder.display())
}

fn cargo_home() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(folder));
    }
    std::env::home_dir()
        .map(|home| home.join(".cargo"))
        .ok_or_else(|| "neither CARGO_HOME nor HOME is set: set one of them".to_owned())
}

fn ask(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} {}: {stderr}", arguments.join(" ")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
