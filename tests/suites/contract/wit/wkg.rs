//! `wkg build` takes each package as it is, as wit/README.md says.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::tool;
use wit_component::{DecodedWasm, decode};

use super::WIT;
use super::packages::{Features, folders, items, packages};

/// What the README says to call in each folder.
const COMMAND: &str = "wkg build --wit-dir .";

#[test]
fn wkg_builds_each_package_docs_and_all() {
    let Some(wkg) = tool::wkg("wkg_builds_each_package_docs_and_all") else {
        return;
    };
    let readme = fs::read_to_string(Path::new(WIT).join("README.md")).unwrap();
    assert!(readme.contains(&format!("`{COMMAND}`")));
    // It writes beside what it reads.
    let scratch = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .args(["-r", WIT])
        .arg(scratch.path().join("wit"))
        .status();
    assert!(copied.unwrap().success());
    let config = scratch.path().join("config.toml");
    fs::write(&config, "").unwrap();
    let arguments: Vec<&str> = COMMAND.split(' ').skip(1).collect();
    // It keeps what is unstable, and leaves it to who uses the package.
    let (resolve, packages) = packages(Features::All);
    for folder in folders().into_keys() {
        let package = packages[&folder];
        let name = &resolve.packages[package].name;
        let path = scratch.path().join("wit").join(&folder);
        let output = Command::new(&wkg)
            .args(&arguments)
            .current_dir(&path)
            .env("WKG_CACHE_DIR", scratch.path().join("cache"))
            .env("WKG_CONFIG_FILE", &config)
            // Nothing answers there: neither of them needs a network.
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "wit/{folder}: {stderr}");

        let bytes = fs::read(path.join(format!("{name}.wasm"))).unwrap();
        let DecodedWasm::WitPackage(decoded, decoded_package) = decode(&bytes).unwrap() else {
            panic!("wkg built something else than a package of WIT");
        };
        assert_eq!(decoded.packages[decoded_package].name, *name);
        assert_eq!(items(&decoded, decoded_package), items(&resolve, package));
    }
}
