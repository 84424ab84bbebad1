//! What is in `wit/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use wit_parser::{
    Docs, PackageId, Resolve, Stability, Type, TypeDefKind, UnresolvedPackageGroup, WorldItem,
};

use super::WIT;

/// The one unstable item.
pub const BACK_OFF: &str = "codex.back-off";

/// Of what is `@unstable`, what is asked for.
#[derive(Clone, Copy)]
pub enum Features {
    None,
    BackOff,
    All,
}

/// The folders of the packages, by their names.
pub fn folders() -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(WIT).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    folders
        .map(|folder| (folder.file_name().into_string().unwrap(), folder.path()))
        .collect()
}

/// The packages, by the names of their folders.
pub fn packages(features: Features) -> (Resolve, BTreeMap<String, PackageId>) {
    let mut resolve = Resolve::default();
    match features {
        Features::None => {}
        Features::BackOff => {
            resolve.features.insert("back-off".to_owned());
        }
        Features::All => resolve.all_features = true,
    }
    let mut names = BTreeMap::new();
    let mut groups = Vec::new();
    for (folder, path) in folders() {
        let group = UnresolvedPackageGroup::parse_dir(path).unwrap();
        names.insert(folder, group.main.name.clone());
        groups.push(group);
    }
    let first = groups.pop().unwrap();
    resolve.push_groups(first, groups).unwrap();
    let packages = names
        .into_iter()
        .map(|(folder, name)| (folder, resolve.package_names[&name]))
        .collect();
    (resolve, packages)
}

#[derive(Debug, PartialEq)]
pub struct Item {
    pub docs: Option<String>,
    /// None for what cannot have one: a field or a case, the package itself, or what a world includes.
    pub stability: Option<Stability>,
}

/// Every item of a package, by a name for a person.
pub fn items(resolve: &Resolve, package_id: PackageId) -> BTreeMap<String, Item> {
    let package = &resolve.packages[package_id];
    let mut items = BTreeMap::new();
    let mut add = |name: String, docs: &Docs, stability: Option<&Stability>| {
        let item = Item {
            docs: docs.contents.clone(),
            stability: stability.cloned(),
        };
        assert!(items.insert(name.clone(), item).is_none(), "twice {name}");
    };
    add("the package".to_owned(), &package.docs, None);
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        let of = |item: &str| format!("{name}.{item}");
        add(name.clone(), &interface.docs, Some(&interface.stability));
        for (function, item) in &interface.functions {
            add(of(function), &item.docs, Some(&item.stability));
        }
        for (type_name, id) in &interface.types {
            let item = &resolve.types[*id];
            // A `use`: the interface that it comes from has the item.
            if let TypeDefKind::Type(Type::Id(used)) = &item.kind
                && resolve.types[*used].owner != item.owner
            {
                continue;
            }
            add(of(type_name), &item.docs, Some(&item.stability));
            for (part, docs) in parts(&item.kind) {
                add(of(&format!("{type_name}.{part}")), docs, None);
            }
        }
    }
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        add(format!("world {name}"), &world.docs, Some(&world.stability));
        for (key, item) in world.imports.iter().chain(&world.exports) {
            let (docs, included) = match item {
                WorldItem::Interface { docs, id, .. } => {
                    (docs, resolve.interfaces[*id].package != Some(package_id))
                }
                WorldItem::Function(function) => (&function.docs, false),
                WorldItem::Type { id, .. } => (&resolve.types[*id].docs, false),
            };
            let stability = (!included).then(|| item.stability(resolve));
            let item_name = format!("world {name}, {}", resolve.name_world_key(key));
            add(item_name, docs, stability);
        }
    }
    items
}

/// The fields or cases of a type, and what is said of each.
fn parts(kind: &TypeDefKind) -> Vec<(&str, &Docs)> {
    let mut parts = cases(kind);
    if let TypeDefKind::Record(record) = kind {
        let fields = record.fields.iter();
        parts.extend(fields.map(|field| (field.name.as_str(), &field.docs)));
    }
    parts
}

/// The cases of a variant or of an enum, or the flags, and what is said of each.
pub fn cases(kind: &TypeDefKind) -> Vec<(&str, &Docs)> {
    match kind {
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            cases.map(|case| (case.name.as_str(), &case.docs)).collect()
        }
        TypeDefKind::Enum(names) => {
            let cases = names.cases.iter();
            cases.map(|case| (case.name.as_str(), &case.docs)).collect()
        }
        TypeDefKind::Flags(flags) => {
            let flags = flags.flags.iter();
            flags.map(|flag| (flag.name.as_str(), &flag.docs)).collect()
        }
        _ => Vec::new(),
    }
}
