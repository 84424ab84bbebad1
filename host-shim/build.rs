//! Builds the component from `guest/`, so that there is no second command to remember.

use std::path::{Path, PathBuf};
use std::process::Command;

const GUEST: &str = "plexum-openai-provider-guest";
const TARGET: &str = "wasm32-wasip2";

fn main() {
    if let Err(message) = build() {
        println!("cargo::error={message}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let out = PathBuf::from(variable("OUT_DIR")?);
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("..");
    for path in ["guest", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }

    // A target folder of its own: cargo locks the outer one while it runs this.
    let target = out.join("guest");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(&workspace);
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--package",
        GUEST,
        "--target",
        TARGET,
        "--target-dir",
    ]);
    cargo.arg(&target);
    // What the caller set for its own build has nothing to do with the component.
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
    let result = cargo
        .output()
        .map_err(|error| format!("cargo cannot be run to build the component: {error}"))?;
    if !result.status.success() {
        let stderr = String::from_utf8_lossy(&result.stderr);
        for line in stderr.lines() {
            println!("cargo::warning={line}");
        }
        let remedy = if stderr.contains("target may not be installed") {
            format!("; run `rustup target add {TARGET}`")
        } else {
            String::new()
        };
        return Err(format!("the component could not be built{remedy}"));
    }
    let built = target
        .join(TARGET)
        .join("release")
        .join(GUEST.replace('-', "_"))
        .with_extension("wasm");
    std::fs::copy(&built, out.join("plugin.wasm"))
        .map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(())
}
