//! The contract in `wit/`: a package that stands alone, is documented, and does not change under one version.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and not the functions that they share; what is indexed is an arena"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use wit_component::{DecodedWasm, decode, encode};
use wit_parser::{Docs, PackageId, Resolve, Stability, TypeDefKind, WorldItem};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");

/// `wit/` and nothing else.
fn package() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(WIT).unwrap();
    (resolve, package)
}

/// What is said of an item, and whether it may bear `@since` (a field or a case may not).
type Item<'a> = (&'a Docs, Option<&'a Stability>);

/// Every item of a package, by a name for a person.
fn items(resolve: &Resolve, package: PackageId) -> BTreeMap<String, Item<'_>> {
    let package = &resolve.packages[package];
    let mut items = BTreeMap::new();
    items.insert("the package".to_owned(), (&package.docs, None));
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        let of = |item: &str| format!("{name}.{item}");
        items.insert(name.clone(), (&interface.docs, Some(&interface.stability)));
        for (function, item) in &interface.functions {
            items.insert(of(function), (&item.docs, Some(&item.stability)));
        }
        for (type_name, id) in &interface.types {
            let item = &resolve.types[*id];
            items.insert(of(type_name), (&item.docs, Some(&item.stability)));
            let parts: Vec<(&String, &Docs)> = match &item.kind {
                TypeDefKind::Record(record) => {
                    record.fields.iter().map(|f| (&f.name, &f.docs)).collect()
                }
                TypeDefKind::Variant(variant) => {
                    variant.cases.iter().map(|c| (&c.name, &c.docs)).collect()
                }
                TypeDefKind::Enum(names) => {
                    names.cases.iter().map(|c| (&c.name, &c.docs)).collect()
                }
                TypeDefKind::Flags(flags) => {
                    flags.flags.iter().map(|f| (&f.name, &f.docs)).collect()
                }
                _ => Vec::new(),
            };
            for (part, docs) in parts {
                items.insert(of(&format!("{type_name}.{part}")), (docs, None));
            }
        }
    }
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        items.insert(
            format!("world {name}"),
            (&world.docs, Some(&world.stability)),
        );
        for (key, item) in world.imports.iter().chain(&world.exports) {
            let docs = match item {
                WorldItem::Interface { docs, .. } => docs,
                WorldItem::Function(function) => &function.docs,
                WorldItem::Type { id, .. } => &resolve.types[*id].docs,
            };
            let stability = item.stability(resolve);
            let item = format!("world {name}, {}", resolve.name_world_key(key));
            items.insert(item, (docs, Some(stability)));
        }
    }
    items
}

#[test]
fn every_item_is_documented_and_says_since_when() {
    let (resolve, package) = package();
    let items = items(&resolve, package);
    assert!(items.len() > 200, "only {} items were found", items.len());
    let undocumented: Vec<_> = items
        .iter()
        .filter(|(_, (docs, _))| docs.is_empty())
        .map(|(name, _)| name)
        .collect();
    assert!(undocumented.is_empty(), "without a doc: {undocumented:?}");
    let timeless: Vec<_> = items
        .iter()
        .filter(|(_, (_, stability))| stability.is_some_and(Stability::is_unknown))
        .map(|(name, _)| name)
        .collect();
    assert!(timeless.is_empty(), "without @since: {timeless:?}");
}

#[test]
fn the_folder_is_a_package_that_a_registry_takes_docs_and_all() {
    let (resolve, package) = package();
    // What `wkg wit build` writes.
    let bytes = encode(&resolve, package).unwrap();
    let DecodedWasm::WitPackage(decoded, decoded_package) = decode(&bytes).unwrap() else {
        panic!("it was encoded as something else than a package of WIT");
    };
    assert_eq!(
        decoded.packages[decoded_package].name,
        resolve.packages[package].name
    );
    let text = |items: BTreeMap<String, Item<'_>>| -> Vec<(String, Option<String>)> {
        let docs = items
            .into_iter()
            .map(|(name, (docs, _))| (name, docs.contents.clone()));
        docs.collect()
    };
    assert_eq!(
        text(items(&decoded, decoded_package)),
        text(items(&resolve, package))
    );
}

/// A copy of `wit/` in which `old` is replaced by `new`, in one place.
fn changed(old: &str, new: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut places = 0;
    for file in fs::read_dir(WIT).unwrap() {
        let file = file.unwrap();
        if file
            .path()
            .extension()
            .is_none_or(|extension| extension != "wit")
        {
            continue;
        }
        let text = fs::read_to_string(file.path()).unwrap();
        places += text.matches(old).count();
        fs::write(folder.path().join(file.file_name()), text.replace(old, new)).unwrap();
    }
    assert_eq!(places, 1, "{old}");
    folder
}

fn wit_semver(root: &Path, base: Option<&Path>) -> (Option<i32>, String) {
    let mut script = Command::new(root.join("scripts/wit-semver.sh"));
    script.args(base).stdin(Stdio::null());
    let Output {
        status,
        stdout,
        stderr,
    } = script.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_change_of_the_contract_needs_another_version() {
    const PACKAGE: &str = "package plexum:provider@0.1.0;";
    const BACK_OFF: &str = "back-off: func() -> bool;";
    let root = Path::new(ROOT);

    let same = changed(PACKAGE, PACKAGE);
    let (code, said) = wit_semver(root, Some(same.path()));
    assert_eq!(code, Some(0), "{said}");

    // As if `codex.wait-long` had been released, and `codex.back-off` added since.
    let released = changed(BACK_OFF, "wait-long: func() -> bool;");
    let (code, said) = wit_semver(root, Some(released.path()));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("back-off") && said.contains("wait-long"),
        "{said}"
    );

    for file in fs::read_dir(released.path()).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace("0.1.0", "0.0.9");
        fs::write(path, text).unwrap();
    }
    let (code, said) = wit_semver(root, Some(released.path()));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn without_a_release_there_is_nothing_to_compare_with_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("scripts")).unwrap();
    fs::copy(
        Path::new(ROOT).join("scripts/wit-semver.sh"),
        root.join("scripts/wit-semver.sh"),
    )
    .unwrap();
    let git = Command::new("git")
        .args(["init", "--quiet"])
        .current_dir(root)
        .status()
        .unwrap();
    assert!(git.success());
    let (code, said) = wit_semver(root, None);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no tag v*"), "{said}");
    let (code, said) = wit_semver(root, Some(Path::new("v9.9.9")));
    assert_eq!(code, Some(2), "{said}");
}
