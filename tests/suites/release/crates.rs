//! The bill of materials.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{NAME, ROOT, TARGET, VERSION, release, run};

/// Of the component, by name and version: whether each crate is in it, or only helped to build it.
fn tree(edges: &str) -> BTreeMap<String, bool> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["tree", "--package", "plexum-openai-provider-guest"])
        .args(["--target", "wasm32-wasip2", "--edges", edges])
        .args(["--prefix", "none", "--format", "{p}", "--locked"])
        .current_dir(ROOT);
    run(&mut cargo)
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap());
            (
                format!("{name}@{}", &version[1..]),
                edges == "normal,no-proc-macro",
            )
        })
        .collect()
}

#[test]
fn the_component_lists_its_crates_as_cargo_does() {
    let Some(folder) = release(&[]) else {
        return;
    };
    let text = std::fs::read(folder.path().join("files/plugin.wasm.cdx.json")).unwrap();
    let bill: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let root = &bill["metadata"]["component"];
    assert_eq!(root["name"], "plexum-openai-provider-guest");
    let mut listed = BTreeMap::new();
    for package in bill["components"].as_array().unwrap() {
        let field = |name: &str| package[name].as_str().unwrap();
        let key = format!("{}@{}", field("name"), field("version"));
        assert_eq!(field("purl"), format!("pkg:cargo/{key}"));
        assert!(package["licenses"][0]["expression"].is_string(), "{key}");
        let digest = package["hashes"][0]["content"].as_str().unwrap();
        assert_eq!(digest.len(), 64, "{key}");
        let helps = package["properties"][0]["value"] == "build";
        assert!(listed.insert(key, !helps).is_none(), "listed twice");
    }
    let mut expected = tree("normal,build");
    expected.extend(tree("normal,no-proc-macro"));
    expected.retain(|key, _| !key.starts_with("plexum-openai-provider-guest@"));
    assert_eq!(listed, expected);
}

#[test]
fn the_licences_of_all_that_is_linked_are_passed_on() {
    let Some(folder) = release(&[]) else {
        return;
    };
    let files = folder.path().join("files");
    let label = format!("{NAME}-{VERSION}-{TARGET}");
    run(Command::new("tar")
        .arg("-xzf")
        .arg(files.join(format!("{label}.tar.gz")))
        .current_dir(folder.path()));
    let licenses = folder.path().join(label).join("licenses");
    let text = std::fs::read_to_string(licenses.join("third-party.txt")).unwrap();
    let words: BTreeSet<&str> = text.split_whitespace().collect();
    // The program is a script here, so what is linked is what the component is made of.
    let mut linked = tree("normal,no-proc-macro");
    linked.remove(&format!("plexum-openai-provider-guest@{VERSION}"));
    for key in linked.keys() {
        assert!(words.contains(key.as_str()), "{key}");
    }
    assert!(text.contains("Copyright (c) 2015 Andrew Gallant"));
    let library = std::fs::read_to_string(licenses.join("rust-library.html")).unwrap();
    assert!(library.contains("Copyright notices for The Rust Standard Library"));
}
