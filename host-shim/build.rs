//! Makes what is embedded in the host, so that one command builds everything: the component, the packages of `wit/`, and
//! the supervisor.
//!
//! In the clone, all of it is built from its source. The package for the registry has the component prebuilt: a
//! dependency of somebody's program cannot ask for one more target and for minutes of building. The supervisor is
//! native code, which nobody should have to trust a package for: it is built from its source there too.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

#[path = "build/cargo.rs"]
mod cargo;
#[path = "build/component.rs"]
mod component;
#[path = "build/crates.rs"]
mod crates;
#[path = "build/paths.rs"]
mod paths;
#[path = "build/supervisor.rs"]
mod supervisor;
#[path = "build/wit.rs"]
mod wit;

fn main() {
    if let Err(message) = build() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let host_shim = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    for path in ["build.rs", "build", "wit"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let workspace = workspace(&host_shim)?;
    if let Some(workspace) = &workspace {
        for path in ["guest", "wit", "Cargo.toml", "Cargo.lock"] {
            println!("cargo::rerun-if-changed={}", workspace.join(path).display());
        }
        println!("cargo::rerun-if-changed=supervisor");
    }

    write(
        &out.join("wit_files.rs"),
        wit::list(&host_shim.join("wit"))?.as_bytes(),
    )?;

    let builds = match &workspace {
        Some(workspace) => paths::builds(&out, workspace, &variable("TARGET")?)?,
        None => out.clone(),
    };
    let remapped = paths::remapped(&variable("RUSTC")?)?;
    let component = match &workspace {
        Some(workspace) => component::build(workspace, &builds.join("guest"), &remapped)?,
        None => component::prebuilt(&host_shim.join("prebuilt"))?,
    };
    println!(
        "cargo::rustc-env=COMPONENT_SHA256={:x}",
        Sha256::digest(&component)
    );
    write(&out.join("plugin.wasm"), &component)?;

    let source = match &workspace {
        Some(workspace) => supervisor::Source::Workspace(workspace.clone()),
        None => supervisor::Source::copy(&out)?,
    };
    let built = supervisor::build(&source, &builds.join("supervisor"), &remapped)?;
    let path = out.join("supervisor.elf");
    std::fs::copy(&built, path).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(())
}

/// The root of the clone, unless this is the package alone.
fn workspace(host_shim: &Path) -> Result<Option<PathBuf>, String> {
    let workspace = host_shim.join("..");
    let guest = workspace.join("guest/Cargo.toml");
    match std::fs::read_to_string(&guest) {
        // Anything may be beside a package.
        Ok(manifest) if manifest.contains(&format!("name = {:?}", component::PACKAGE)) => {
            Ok(Some(workspace))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", guest.display())),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    std::fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
