//! The component: built from `guest/`, or taken as it came with the package.

use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::{cargo, crates, variable};

/// The package that it is built from.
pub const PACKAGE: &str = "plexum-openai-provider-guest";
const TARGET: &str = "wasm32-wasip2";

/// Builds it in the clone.
pub fn build(workspace: &Path, target_dir: &Path, remapped: &[String]) -> Result<Vec<u8>, String> {
    let options = ["--locked".to_owned(), cargo::rustflags(TARGET, remapped)];
    let folder = cargo::release_build(workspace, workspace, PACKAGE, TARGET, target_dir, &options)?;
    let mut bytes = read(
        &folder
            .join(PACKAGE.replace('-', "_"))
            .with_extension("wasm"),
    )?;
    let with_build = tree(workspace, "normal,build")?;
    crates::insert(&mut bytes, &with_build, &tree(workspace, "normal")?)?;
    Ok(bytes)
}

/// Takes it from a package, where `scripts/package.sh` has put it along with its digest.
pub fn prebuilt(folder: &Path) -> Result<Vec<u8>, String> {
    let component = folder.join("plugin.wasm");
    let bytes = read(&component)?;
    let sums = folder.join("SHA256SUMS");
    let listed = read(&sums)?;
    let wanted = String::from_utf8_lossy(&listed);
    let found = format!("{:x}", Sha256::digest(&bytes));
    if wanted != format!("{found}  plugin.wasm\n") {
        return Err(format!(
            "{} is not the component of this package: its digest is {found}, and {} says {}. Get the package again",
            component.display(),
            sums.display(),
            wanted.trim_end(),
        ));
    }
    Ok(bytes)
}

/// The crates that the component is made of, as `cargo tree` prints them.
fn tree(workspace: &Path, edges: &str) -> Result<String, String> {
    let output = Command::new(variable("CARGO")?)
        .current_dir(workspace)
        .args(["tree", "--locked", "--package", PACKAGE])
        .args(["--target", TARGET, "--edges", edges])
        .args(["--prefix", "depth", "--no-dedupe", "--format", "{p}"])
        .output()
        .map_err(|error| format!("cargo cannot be run to list the crates of {PACKAGE}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "the crates of {PACKAGE} cannot be listed: {stderr}"
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
