//! `scripts/package.sh`, and a crate outside the clone that depends on nothing but its packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plexum_openai_provider_tests::workspace::{cache_home, program};
use serde_json::{Value, json};

use super::{NAME, ROOT, VERSION, run};

/// Unpacks the packages into a folder, and returns those of the host and of the supervisor.
fn unpacked(folder: &Path) -> (PathBuf, PathBuf) {
    let mut script = Command::new("scripts/package.sh");
    script.args(["--no-verify", "--program"]).arg(program());
    let printed = run(script.current_dir(ROOT));
    for package in printed.lines() {
        // Their files have a time of long ago, and cargo would not see that they changed.
        run(Command::new("tar")
            .args(["--touch", "-xzf", package, "-C"])
            .arg(folder));
    }
    (
        folder.join(format!("{NAME}-{VERSION}")),
        folder.join(format!("{NAME}-supervisor-{VERSION}")),
    )
}

/// The manifest of an embedder, with what the guide tells to write into it.
fn manifest() -> String {
    let guide = fs::read_to_string(Path::new(ROOT).join("host-shim/docs/embedding.md")).unwrap();
    let (_, after) = guide.split_once("```toml\n").unwrap();
    let (dependencies, _) = after.split_once("```").unwrap();
    format!(
        "[package]\nname = \"embedder\"\nedition = \"2024\"\n[workspace]\n{dependencies}\
         [profile.dev]\ndebug = \"line-tables-only\"\n[profile.dev.package.\"*\"]\ndebug = false\n\
         [profile.dev.package]\nsha2 = {{ opt-level = 2 }}\n"
    )
}

/// A build of a crate against the packages. Of the clone it has the versions, and what cargo has built there of the crates
/// that both have from the registry.
fn cargo(folder: &Path, (host, supervisor): &(PathBuf, PathBuf), command: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    // What the clone has not been built from, it must not fetch.
    cargo.current_dir(folder).args([command, "--offline"]).env(
        "CARGO_TARGET_DIR",
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap(),
    );
    for (name, package) in [
        (NAME, host),
        ("plexum-openai-provider-supervisor", supervisor),
    ] {
        let key = format!("patch.crates-io.{name}.path");
        cargo.arg("--config").arg(format!("{key}={package:?}"));
    }
    cargo
}

#[test]
fn an_embedder_builds_from_the_packages_alone() {
    // In one place each time, or cargo would keep another build for each run.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("embedder");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("src")).unwrap();
    let packages = unpacked(&folder);
    fs::write(folder.join("Cargo.toml"), manifest()).unwrap();
    fs::copy(
        packages.0.join("examples/embed.rs"),
        folder.join("src/main.rs"),
    )
    .unwrap();
    fs::copy(
        Path::new(ROOT).join("Cargo.lock"),
        folder.join("Cargo.lock"),
    )
    .unwrap();

    // A component that was damaged on its way is no part of anybody's program.
    let component = packages.0.join("prebuilt/plugin.wasm");
    let whole = fs::read(&component).unwrap();
    fs::write(&component, &whole[..whole.len() - 1]).unwrap();
    let refused = cargo(&folder, &packages, "build").output().unwrap();
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(
        stderr.contains("is not the component of this package: its digest is"),
        "{stderr}"
    );
    fs::write(&component, whole).unwrap();

    let home = folder.join("home");
    let plugin = home.join(".plexum/plugins").join(NAME);
    fs::create_dir_all(&plugin).unwrap();
    let config = json!({ "binary": env!("CARGO_BIN_EXE_fake-codex") });
    fs::write(plugin.join("config.json"), config.to_string()).unwrap();
    let messages = run(cargo(&folder, &packages, "build").args(["--message-format", "json"]));
    let embedder = messages
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap();
    let printed = run(Command::new(embedder)
        .arg(&folder)
        .arg("hello")
        .env("HOME", &home)
        .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache))));
    assert_eq!(printed, "echo: hello\n");
}

/// Which Rust the packages need is what CI builds them with: no claim about an older one.
#[test]
fn the_oldest_rust_is_the_one_of_the_clone() {
    let toolchain = fs::read_to_string(Path::new(ROOT).join("rust-toolchain.toml")).unwrap();
    let stated = env!("CARGO_PKG_RUST_VERSION");
    assert!(
        toolchain.contains(&format!("channel = \"{stated}.0\"")),
        "{stated}: {toolchain}"
    );
    let version = run(Command::new("rustc").arg("--version").current_dir(ROOT));
    assert!(
        version.starts_with(&format!("rustc {stated}.0 ")),
        "{version}"
    );
}
