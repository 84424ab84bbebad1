//! A package of WIT files, among those that it may name.
#![allow(
    clippy::indexing_slicing,
    reason = "what is indexed is an arena, with an id that came from it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use semver::Version;
use wit_parser::{
    Package, PackageId, PackageName, Resolve, UnresolvedPackageGroup, WorldId, WorldItem,
};

/// A package of WIT files.
#[derive(Debug)]
pub struct Contract {
    /// What to call it in a message.
    pub title: String,
    pub version: Version,
    /// The file with its version.
    pub file: PathBuf,
    resolve: Resolve,
    package: PackageId,
}

/// The packages that have a folder in `folder`, by the names of their folders. They may name each other, and nothing
/// else. What is `@unstable` is left out, because nothing is promised of it.
///
/// # Errors
/// When a folder with WIT files is not a package, or has no version, or has an interface that is in no world.
pub fn contracts(folder: &Path, title: &str) -> Result<BTreeMap<String, Contract>> {
    let mut parsed = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !wit_files(&path)?.is_empty() {
            let group = UnresolvedPackageGroup::parse_dir(&path)
                .with_context(|| format!("{} is not a package of WIT files", path.display()))?;
            parsed.insert(name.into_owned(), (path, group));
        }
    }
    let names: BTreeMap<String, (PathBuf, PackageName)> = parsed
        .iter()
        .map(|(folder, (path, group))| (folder.clone(), (path.clone(), group.main.name.clone())))
        .collect();
    let mut resolve = Resolve::default();
    let mut groups = parsed.into_values().map(|(_, group)| group);
    if let Some(first) = groups.next() {
        let resolved = resolve.push_groups(first, groups.collect());
        resolved
            .map_err(|error| anyhow::anyhow!(error.render(&resolve.source_map)))
            .with_context(|| format!("the packages in {} do not fit", folder.display()))?;
    }
    let contracts = names.into_iter().map(|(folder, (path, name))| {
        let version = name
            .version
            .clone()
            .with_context(|| format!("the package in {} has no version", path.display()))?;
        let package = resolve.package_names.get(&name);
        let contract = Contract {
            title: format!("{name} ({title})"),
            version,
            file: file_with_version(&path)?,
            package: *package.with_context(|| format!("{name} was not resolved"))?,
            resolve: resolve.clone(),
        };
        contract.check_worlds()?;
        Ok((folder, contract))
    });
    contracts.collect()
}

fn wit_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The file that begins the package in this folder.
fn file_with_version(folder: &Path) -> Result<PathBuf> {
    for file in wit_files(folder)? {
        let text = fs::read_to_string(&file)?;
        if text.lines().any(|line| line.starts_with("package ")) {
            return Ok(file);
        }
    }
    Ok(folder.to_owned())
}

impl Contract {
    /// The package's name without its version.
    pub fn name(&self) -> String {
        unversioned(&self.package().name)
    }

    pub fn worlds(&self) -> impl Iterator<Item = (&str, WorldId)> {
        let worlds = self.package().worlds.iter();
        worlds.map(|(name, world)| (name.as_str(), *world))
    }

    pub fn world(&self, name: &str) -> Option<WorldId> {
        self.package().worlds.get(name).copied()
    }

    /// The versions of the other packages that its worlds name, by the names of these packages.
    pub fn others(&self) -> BTreeMap<String, Version> {
        let packages = self
            .worlds()
            .flat_map(|(_, world)| self.items(world))
            .filter_map(|item| match item {
                WorldItem::Interface { id, .. } => self.resolve.interfaces[*id].package,
                WorldItem::Function(_) | WorldItem::Type { .. } => None,
            })
            .filter(|package| *package != self.package);
        packages
            .filter_map(|package| {
                let name = &self.resolve.packages[package].name;
                Some((unversioned(name), name.version.clone()?))
            })
            .collect()
    }

    /// This contract and the other in one, and a world of the other in it.
    ///
    /// # Errors
    /// When they cannot be one.
    pub fn with(&self, other: &Contract, world: WorldId) -> Result<(Resolve, WorldId)> {
        let mut other_resolve = other.resolve.clone();
        // Two packages of one name and version would be taken for the same; the comparison ignores versions.
        other_resolve.package_names.clear();
        for (minor, (id, package)) in (0..).zip(other_resolve.packages.iter_mut()) {
            package.name.version = Some(Version::new(u64::MAX, minor, 0));
            let renamed = package.name.clone();
            other_resolve.package_names.insert(renamed, id);
        }
        let mut resolve = self.resolve.clone();
        let remap = resolve
            .merge(other_resolve)
            .context("the two contracts cannot be compared")?;
        let world = remap.map_world(world, Default::default())?;
        Ok((resolve, world))
    }

    fn package(&self) -> &Package {
        &self.resolve.packages[self.package]
    }

    fn items(&self, world: WorldId) -> impl Iterator<Item = &WorldItem> {
        let world = &self.resolve.worlds[world];
        world.imports.values().chain(world.exports.values())
    }

    /// Only worlds can be compared, so each interface has to be in one.
    fn check_worlds(&self) -> Result<()> {
        for (name, interface) in &self.package().interfaces {
            let is_used = self
                .worlds()
                .flat_map(|(_, world)| self.items(world))
                .any(|item| matches!(item, WorldItem::Interface { id, .. } if id == interface));
            ensure!(
                is_used,
                "the interface {name} is in no world, so it cannot be compared: import or export it in one"
            );
        }
        Ok(())
    }
}

fn unversioned(name: &PackageName) -> String {
    format!("{}:{}", name.namespace, name.name)
}
