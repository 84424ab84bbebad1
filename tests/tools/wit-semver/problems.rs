//! Whether a contract may be released under the version that it bears, given the last release.
//!
//! - The same version must mean the same contract: a component built for either runs in a host of the other.
//! - A compatible version (0.1.1 after 0.1.0, 1.1.0 after 1.0.0) may add: what was built for the last release
//!   still runs.
//! - Any other later version may change anything.
//!
//! Documentation and `@since` are not compared.
#![allow(
    clippy::indexing_slicing,
    reason = "what is indexed is an arena, with an id that came from it"
)]

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use semver::Version;
use wit_component::semver_check;
use wit_parser::{PackageId, Resolve, WorldId};

/// A package of WIT files, alone.
struct Contract {
    /// What to call it in a message.
    title: String,
    resolve: Resolve,
    package: PackageId,
    version: Version,
}

/// What keeps the WIT files in the folder `new` from being released after those in `base`: a sentence each. None
/// when nothing does.
///
/// # Errors
/// When one of the two cannot be read as a package with a version, or when they are two packages.
pub fn problems(base: &Path, new: &Path) -> Result<Vec<String>> {
    let base = Contract::read(base, "the last release")?;
    let new = Contract::read(new, "this contract")?;
    ensure!(
        base.name() == new.name(),
        "the last release is the package {}, and this is {}: compare a package with itself",
        base.name(),
        new.name()
    );
    if new.version < base.version {
        return Ok(vec![format!(
            "version {} comes before the last release, {}",
            new.version, base.version
        )]);
    }
    if !is_compatible(&base.version, &new.version) {
        return Ok(Vec::new());
    }
    let mut problems = base.missing_in(&new)?;
    if new.version == base.version {
        problems.extend(new.missing_in(&base)?);
    }
    Ok(problems)
}

/// Whether `new` promises to take what was built for `base`, as cargo understands it.
fn is_compatible(base: &Version, new: &Version) -> bool {
    match (base.major, base.minor) {
        (0, 0) => (new.major, new.minor, new.patch) == (0, 0, base.patch),
        (0, minor) => (new.major, new.minor) == (0, minor),
        (major, _) => new.major == major,
    }
}

impl Contract {
    fn read(folder: &Path, title: &str) -> Result<Self> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_dir(folder)
            .with_context(|| format!("{} is no package of WIT files", folder.display()))?;
        let version = resolve.packages[package].name.version.clone();
        let version = version
            .with_context(|| format!("the package in {} has no version", folder.display()))?;
        let contract = Contract {
            title: format!("{title} ({version})"),
            resolve,
            package,
            version,
        };
        contract.check_worlds()?;
        Ok(contract)
    }

    /// The package's name without its version.
    fn name(&self) -> String {
        let name = &self.resolve.packages[self.package].name;
        format!("{}:{}", name.namespace, name.name)
    }

    /// Only worlds can be compared, so each interface has to be in one.
    fn check_worlds(&self) -> Result<()> {
        let package = &self.resolve.packages[self.package];
        for (name, interface) in &package.interfaces {
            let is_used = package.worlds.values().any(|world| {
                let world = &self.resolve.worlds[*world];
                let mut items = world.imports.values().chain(world.exports.values());
                items.any(|item| {
                    matches!(item, wit_parser::WorldItem::Interface { id, .. } if id == interface)
                })
            });
            ensure!(
                is_used,
                "the interface {name} is in no world, so it cannot be compared: import or export it in one"
            );
        }
        Ok(())
    }

    /// What a component that was built for this contract misses in a host of the other.
    fn missing_in(&self, host: &Contract) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for (name, world) in &self.resolve.packages[self.package].worlds {
            let missed = match host.resolve.packages[host.package].worlds.get(name) {
                None => Some("there is no such world".to_owned()),
                Some(host_world) => {
                    let (resolve, host_world) = self.with(host, *host_world)?;
                    let fits = semver_check(resolve, *world, host_world);
                    fits.err().map(|error| error.root_cause().to_string())
                }
            };
            problems.extend(missed.map(|missed| {
                format!(
                    "a component for the world {name} of {} does not run in a host of {}: {missed}",
                    self.title, host.title
                )
            }));
        }
        Ok(problems)
    }

    /// Both contracts in one, and the world of the other in it.
    fn with(&self, other: &Contract, world: WorldId) -> Result<(Resolve, WorldId)> {
        let mut other_resolve = other.resolve.clone();
        // Two packages of one name and version would be taken for the same; the comparison ignores versions.
        let package = &mut other_resolve.packages[other.package];
        let named = package.name.clone();
        package.name.version = Some(Version::new(u64::MAX, 0, 0));
        let renamed = package.name.clone();
        other_resolve.package_names.shift_remove(&named);
        other_resolve.package_names.insert(renamed, other.package);
        let mut resolve = self.resolve.clone();
        let remap = resolve
            .merge(other_resolve)
            .context("the two contracts cannot be compared")?;
        let world = remap.map_world(world, Default::default())?;
        Ok((resolve, world))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of one world, which imports one interface.
    fn contract(version: &str, imported: &str, world: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "package a:b@{version};\n\
             interface i {{ {imported} }}\n\
             interface e {{ g: func(); }}\n\
             world w {{ import i; {world} }}"
        );
        std::fs::write(folder.path().join("a.wit"), text).unwrap();
        folder
    }

    #[test]
    fn what_changed_and_which_version_it_needs() {
        const F: &str = "f: func(); record r { x: u32 } h: func() -> r;";
        const MORE: &str = "f: func(); record r { x: u32 } h: func() -> r; added: func();";
        const FEWER: &str = "record r { x: u32 } h: func() -> r;";
        const FIELD: &str = "f: func(); record r { x: u32, y: u32 } h: func() -> r;";
        const E: &str = "export e;";
        for (base, imported, world, new, problems) in [
            ("0.1.0", F, E, "0.1.0", 0),
            // A component that calls `added` does not run in the released host.
            ("0.1.0", MORE, E, "0.1.0", 1),
            ("0.1.0", MORE, E, "0.1.1", 0),
            ("1.1.0", MORE, E, "1.2.0", 0),
            // A released component calls `f`.
            ("0.1.0", FEWER, E, "0.1.0", 1),
            ("0.1.0", FEWER, E, "0.1.1", 1),
            ("0.0.1", FEWER, E, "0.0.2", 0),
            ("0.1.0", FEWER, E, "0.2.0", 0),
            ("1.1.0", FEWER, E, "1.2.0", 1),
            ("1.1.0", FEWER, E, "2.0.0", 0),
            ("0.1.0", FIELD, E, "0.1.0", 2),
            ("0.1.0", FIELD, E, "0.1.1", 1),
            ("0.1.0", FIELD, E, "0.2.0", 0),
            // A host that asks for fewer exports takes every released component.
            ("0.1.0", F, "import e;", "0.1.1", 0),
            ("0.1.0", F, "import e;", "0.1.0", 1),
            ("0.1.0", F, "export e; export more: func();", "0.1.1", 1),
            ("0.1.0", F, "export e; import more: func();", "0.1.1", 0),
            ("0.2.0", F, E, "0.1.0", 1),
        ] {
            let old = contract(base, F, E);
            let changed = contract(new, imported, world);
            let found = super::problems(old.path(), changed.path()).unwrap();
            assert_eq!(
                found.len(),
                problems,
                "{base} to {new} with {imported} {world}: {found:#?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_compared_is_an_error_that_says_so() {
        let good = contract("0.1.0", "f: func();", "export e;");
        let error = |folder: &Path| format!("{:#}", problems(good.path(), folder).unwrap_err());
        let lonely = contract("0.1.0", "f: func();", "");
        assert!(error(lonely.path()).contains("the interface e is in no world"));
        let empty = tempfile::tempdir().unwrap();
        assert!(error(empty.path()).contains("is no package of WIT files"));
        std::fs::write(empty.path().join("a.wit"), "package a:c@0.1.0;").unwrap();
        assert!(error(empty.path()).contains("the last release is the package a:b"));
        std::fs::write(empty.path().join("a.wit"), "package a:b;").unwrap();
        assert!(error(empty.path()).contains("has no version"));
    }
}
