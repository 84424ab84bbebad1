//! Builds the programs that are embedded in the host, so that one command builds everything: the component
//! from `guest/`, and the supervisor.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

#[path = "build/crates.rs"]
mod crates;
#[path = "build/paths.rs"]
mod paths;

const GUEST: &str = "plexum-openai-provider-guest";
const GUEST_TARGET: &str = "wasm32-wasip2";
const SUPERVISOR: &str = "plexum-openai-provider-supervisor";

fn main() {
    if let Err(message) = build() {
        println!("cargo::error={message}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let host_shim = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = host_shim.join("..");
    for path in ["guest", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    println!(
        "cargo::rerun-if-changed={}",
        host_shim.join("supervisor").display()
    );
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");

    list_wit(&workspace.join("wit"), &out.join("wit_files.rs"))?;
    let remapped = paths::remapped(&variable("RUSTC")?)?;
    let component = build_component(&workspace, &out.join("guest"), &remapped)?;
    println!(
        "cargo::rustc-env=COMPONENT_SHA256={:x}",
        Sha256::digest(&component)
    );
    let path = out.join("plugin.wasm");
    std::fs::write(&path, component).map_err(|error| format!("{}: {error}", path.display()))?;

    let supervisor = build_supervisor(&workspace, &out.join("supervisor"), &remapped)?;
    let built = supervisor.join("plexum-codex-supervisor");
    let path = out.join("supervisor.elf");
    std::fs::copy(&built, path).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(())
}

fn build_component(
    workspace: &Path,
    target_dir: &Path,
    remapped: &[String],
) -> Result<Vec<u8>, String> {
    let options = [rustflags(GUEST_TARGET, remapped)];
    let folder = release_build(workspace, GUEST, GUEST_TARGET, target_dir, &options)?;
    let built = folder.join(GUEST.replace('-', "_")).with_extension("wasm");
    let mut bytes =
        std::fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    let with_build = tree(workspace, "normal,build")?;
    crates::insert(&mut bytes, &with_build, &tree(workspace, "normal")?)?;
    Ok(bytes)
}

/// The crates that the component is made of, as `cargo tree` prints them.
fn tree(workspace: &Path, edges: &str) -> Result<String, String> {
    let output = Command::new(variable("CARGO")?)
        .current_dir(workspace)
        .args(["tree", "--locked", "--package", GUEST])
        .args(["--target", GUEST_TARGET, "--edges", edges])
        .args(["--prefix", "depth", "--no-dedupe", "--format", "{p}"])
        .output()
        .map_err(|error| format!("cargo cannot be run to list the crates of {GUEST}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the crates of {GUEST} cannot be listed: {stderr}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The option of cargo that gives rustc these flags, besides those in the configuration.
fn rustflags(target: &str, flags: &[String]) -> String {
    // A string in Rust's notation is one in TOML's, unless a path has characters that only the former escapes.
    format!("--config=target.{target}.rustflags={flags:?}")
}

/// Lists the files of the WIT packages, which are installed beside the component, as `include!` takes them.
fn list_wit(wit: &Path, list: &Path) -> Result<(), String> {
    let wit = wit
        .canonicalize()
        .map_err(|error| format!("{}: {error}", wit.display()))?;
    let mut files = Vec::new();
    for package in ["codex", "provider"] {
        let folder = wit.join(package);
        let entries =
            std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // What wkg writes beside them is none of them.
            if name == "wkg.toml" || name.ends_with(".wit") {
                files.push((format!("wit/{package}/{name}"), path.clone()));
            }
        }
    }
    files.sort();
    let lines = files
        .iter()
        .map(|(name, path)| format!("({name:?}, include_str!({path:?})),\n"));
    let text = format!("&[\n{}]\n", lines.collect::<String>());
    std::fs::write(list, text).map_err(|error| format!("{}: {error}", list.display()))
}

/// Builds the supervisor, and returns the folder that it is in.
///
/// It is started for every turn, so what counts is how soon it runs. With musl that is 0.3 ms sooner than with a
/// static glibc, which first asks what the processor can do: in a virtual machine, the hypervisor answers each
/// such question. A dynamic linker takes longer still.
fn build_supervisor(
    workspace: &Path,
    target_dir: &Path,
    remapped: &[String],
) -> Result<PathBuf, String> {
    let target = variable("TARGET")?;
    let with_musl = target.replace("-linux-gnu", "-linux-musl");
    let mut ways = Vec::new();
    // The target is a download of its own, and the static glibc a package of its own on some systems.
    if with_musl != target && is_installed(&with_musl)? {
        ways.push((with_musl.as_str(), "+crt-static"));
    }
    ways.extend([(target.as_str(), "+crt-static"), (&target, "-crt-static")]);
    let mut mistakes = String::new();
    for (target, crt) in ways {
        // Panics need no unwinding there, which halves its size.
        let mut flags = vec![
            format!("-Ctarget-feature={crt}"),
            "-Cpanic=abort".to_owned(),
        ];
        flags.extend_from_slice(remapped);
        let options = [
            rustflags(target, &flags),
            "--config=profile.release.opt-level=\"s\"".to_owned(),
        ];
        match release_build(workspace, SUPERVISOR, target, target_dir, &options) {
            Ok(folder) => return Ok(folder),
            Err(mistake) => mistakes = mistake,
        }
    }
    Err(mistakes)
}

/// Whether the standard library for this target is there.
fn is_installed(target: &str) -> Result<bool, String> {
    let rustc = variable("RUSTC")?;
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .map_err(|error| format!("{rustc}: {error}"))?;
    let folder = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

/// Builds a package of the workspace, and returns the folder that the results are in.
fn release_build(
    workspace: &Path,
    package: &str,
    target: &str,
    // A folder of its own: cargo locks the outer one while it runs this.
    target_dir: &Path,
    options: &[String],
) -> Result<PathBuf, String> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["build", "--release", "--locked"])
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
    let result = cargo
        .output()
        .map_err(|error| format!("cargo cannot be run to build {package}: {error}"))?;
    if !result.status.success() {
        let stderr = String::from_utf8_lossy(&result.stderr);
        for line in stderr.lines() {
            println!("cargo::warning={line}");
        }
        let remedy = if stderr.contains("target may not be installed") {
            format!("; run `rustup target add {target}`")
        } else {
            String::new()
        };
        return Err(format!("{package} could not be built{remedy}"));
    }
    Ok(target_dir.join(target).join("release"))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
