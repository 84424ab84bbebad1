//! Builds of what is embedded, by the cargo that runs this.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::variable;

/// The option of cargo that gives rustc these flags, besides those in the configuration.
pub fn rustflags(target: &str, flags: &[String]) -> String {
    // A string in Rust's notation is one in TOML's, unless a path has characters that only the former escapes.
    format!("--config=target.{target}.rustflags={flags:?}")
}

/// Builds a package, and returns the folder that the results are in.
pub fn release_build(
    // The folder of its workspace.
    workspace: &Path,
    // Where cargo runs: it obeys the configuration there, and in the folders above.
    from: &Path,
    package: &str,
    target: &str,
    // A folder of its own: cargo locks the outer one while it runs this.
    target_dir: &Path,
    options: &[String],
) -> Result<PathBuf, String> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(from)
        .args(["build", "--release", "--manifest-path"])
        .arg(workspace.join("Cargo.toml"))
        .args(["--package", package, "--target", target])
        .arg("--target-dir")
        .arg(target_dir)
        .args(options);
    // What the caller set for its own build has nothing to do with these.
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
    ] {
        cargo.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PROFILE_RELEASE_") {
            cargo.env_remove(name);
        }
    }
    let result = cargo
        .output()
        .map_err(|error| format!("cargo cannot be run to build {package}: {error}"))?;
    if !result.status.success() {
        let stderr = String::from_utf8_lossy(&result.stderr);
        let remedy = if stderr.contains("target may not be installed") {
            format!("; run `rustup target add {target}`")
        } else {
            String::new()
        };
        return Err(format!("{package} could not be built{remedy}\n{stderr}"));
    }
    Ok(target_dir.join(target).join("release"))
}
