//! What the component asks for, whichever way it is built.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;
use std::process::Command;

use plexum_openai_provider::COMPONENT;
use plexum_openai_provider_tests::component::target_folder;
use plexum_openai_provider_tests::tool::cargo_component;
use wasmtime::Engine;
use wasmtime::component::Component;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/component-imports.txt");

/// The host's build script as a program, with the crates that `Cargo.lock` names.
const BUILD_SCRIPT: &str = r#"
[package]
name = "build-script"
edition = "2024"

[[bin]]
name = "build-script"
path = "../host-shim/build.rs"

[dependencies]
sha2 = { version = "*", default-features = false }

[workspace]
"#;

/// Where cargo puts that program, in the target folder.
const SCRIPT: &str = "debug/build-script";

/// One line for each import and export, imports first.
fn interfaces(bytes: &[u8]) -> String {
    let engine = Engine::default();
    let component = Component::new(&engine, bytes).unwrap();
    let kind = component.component_type();
    let imports = kind
        .imports(&engine)
        .map(|(name, _)| format!("import {name}\n"));
    let exports = kind
        .exports(&engine)
        .map(|(name, _)| format!("export {name}\n"));
    imports.chain(exports).collect()
}

fn check(bytes: &[u8], how: &str) {
    let found = interfaces(bytes);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    assert_eq!(
        found, golden,
        "built by {how}; if this is what is wanted, run the test again with BLESS=1"
    );
    for import in found.lines().filter(|line| line.starts_with("import")) {
        assert!(import.starts_with("import plexum:codex/"), "{import}");
    }
}

/// Copies what the clone has built of the crates from the registry, which are the same for any folder, to where the build
/// script will look for it.
fn copy_builds(out: &Path) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    // Of several clones, any will do: what does not fit is built again.
    let Some(builds) = std::fs::read_dir(target.join("embedded"))
        .into_iter()
        .flatten()
        .next()
    else {
        return;
    };
    let copied = Command::new("cp")
        .arg("-a")
        .arg(builds.unwrap().path())
        .arg(out)
        .status()
        .unwrap();
    assert!(copied.success());
}

/// Runs a build into a target folder of its own; cargo may hold the usual one.
fn build(mut command: Command, target: &Path, artifact: &str) -> Vec<u8> {
    let output = command
        .current_dir(ROOT)
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read(target.join(artifact)).unwrap()
}

#[test]
fn the_built_in_component_imports_the_contract_and_nothing_else() {
    check(COMPONENT, "the host's build script");
}

#[test]
fn so_does_the_one_of_cargo_build() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "--target",
        "wasm32-wasip2",
        "-p",
        "plexum-openai-provider-guest",
    ]);
    let artifact = "wasm32-wasip2/release/plexum_openai_provider_guest.wasm";
    check(&build(cargo, &target_folder(), artifact), "cargo build");
}

#[test]
fn so_does_the_one_of_cargo_component() {
    let Some(cargo_component) = cargo_component("so_does_the_one_of_cargo_component") else {
        return;
    };
    let mut cargo = Command::new(cargo_component);
    cargo.args([
        "component",
        "build",
        "--release",
        "-p",
        "plexum-openai-provider-guest",
    ]);
    let artifact = "wasm32-wasip1/release/plexum_openai_provider_guest.wasm";
    check(
        &build(cargo, &target_folder(), artifact),
        "cargo component build",
    );
}

#[test]
fn the_same_source_gives_the_same_component_in_another_folder() {
    // What git tracks or would track, in a folder of another name and depth, built by the same script.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("elsewhere/and/deeper");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    for name in [
        ".cargo",
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "guest",
        "wit",
        "host-shim",
        "tests",
    ] {
        let copied = Command::new("cp")
            .args(["-r", name])
            .arg(&folder)
            .current_dir(ROOT)
            .status()
            .unwrap();
        assert!(copied.success(), "{name}");
    }
    let package = folder.join("build-script");
    std::fs::create_dir(&package).unwrap();
    std::fs::copy(folder.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    std::fs::write(package.join("Cargo.toml"), BUILD_SCRIPT).unwrap();
    let mut compile = Command::new(env!("CARGO"));
    compile
        .args(["build", "--offline", "--manifest-path"])
        .arg(package.join("Cargo.toml"));
    let compiled = package.join("target");
    build(compile, &compiled, SCRIPT);
    let out = folder.join("out");
    copy_builds(&out);
    // The script gets what cargo gives it.
    let host = Command::new("rustc")
        .args(["--print", "host-tuple"])
        .output()
        .unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let built = Command::new(compiled.join(SCRIPT))
        .env("CARGO", env!("CARGO"))
        .env("RUSTC", "rustc")
        .env("TARGET", host.trim())
        .env("CARGO_MANIFEST_DIR", folder.join("host-shim"))
        .env("OUT_DIR", &out)
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stdout)
    );
    let elsewhere = std::fs::read(out.join("plugin.wasm")).unwrap();
    assert!(elsewhere == COMPONENT, "another folder gives other bytes");
}
