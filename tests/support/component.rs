//! Components that are built from crates of `tests/`.

use std::path::PathBuf;
use std::process::Command;

use crate::target_dir::target_dir;

/// Where all builds of components go, as the half of each is the same: the generator of their bindings. It is a target
/// folder of its own: cargo may hold the usual one.
///
/// # Panics
/// When the tests do not run in a target folder.
#[must_use]
pub fn target_folder() -> PathBuf {
    target_dir()
        .expect("the tests run in a target folder")
        .join("tmp/components")
}

/// The file of the component that this package is, built if need be.
///
/// # Panics
/// When it cannot be built.
pub(crate) fn build(package: &str) -> PathBuf {
    let target = target_folder();
    let output = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--release", "--target", "wasm32-wasip2"])
        .args(["-p", package])
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let file = package.replace('-', "_");
    target.join(format!("wasm32-wasip2/release/{file}.wasm"))
}
