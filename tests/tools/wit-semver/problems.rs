//! Whether a contract may be released under the version that it bears, given the last release.
//!
//! - The same version must mean the same contract: a component built for either runs in a host of the other.
//! - A compatible version (0.1.1 after 0.1.0, 1.1.0 after 1.0.0) may add: what was built for the last release
//!   still runs.
//! - Any other later version may change anything.
//!
//! Documentation and `@since` are not compared, and neither is what is `@unstable`.

use anyhow::{Result, ensure};
use semver::Version;
use wit_component::semver_check;

use crate::contract::Contract;

/// What keeps the contract `new` from being released after `base`: a sentence each. None when nothing does.
///
/// # Errors
/// When they are two packages.
pub fn problems(base: &Contract, new: &Contract) -> Result<Vec<String>> {
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
    let mut problems = other_packages(base, new);
    problems.extend(missing(base, new)?);
    if new.version == base.version {
        problems.extend(missing(new, base)?);
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

/// What keeps a component from running although each item is as it was: the name of an interface holds the version of
/// its package.
fn other_packages(base: &Contract, new: &Contract) -> Vec<String> {
    let now = new.others();
    let changed = base.others().into_iter().filter_map(|(name, before)| {
        let now = now.get(&name)?;
        let fits = if new.version == base.version {
            *now == before
        } else {
            *now >= before && is_compatible(&before, now)
        };
        (!fits).then(|| {
            format!(
                "{} is with {name}@{now}, and {} was with {name}@{before}",
                new.title, base.title
            )
        })
    });
    changed.collect()
}

/// What a component that was built for `built` misses in a host of the other.
fn missing(built: &Contract, host: &Contract) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (name, world) in built.worlds() {
        let missed = match host.world(name) {
            None => Some("there is no such world".to_owned()),
            Some(host_world) => {
                let (resolve, host_world) = built.with(host, host_world)?;
                let fits = semver_check(resolve, world, host_world);
                fits.err().map(|error| error.root_cause().to_string())
            }
        };
        problems.extend(missed.map(|missed| {
            format!(
                "a component for the world {name} of {} does not run in a host of {}: {missed}",
                built.title, host.title
            )
        }));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::contract::contracts;

    fn write(folder: &TempDir, name: &str, text: &str) {
        let folder = folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("x.wit"), text).unwrap();
    }

    /// A package of one world, which imports one interface.
    fn contract(version: &str, imported: &str, world: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "package a:b@{version};\n\
             interface i {{ {imported} }}\n\
             interface e {{ g: func(); }}\n\
             world w {{ import i; {world} }}"
        );
        write(&folder, "b", &text);
        folder
    }

    /// That package of version 0.1.0, and another one whose world includes its world.
    fn including(version: &str, included: &str) -> TempDir {
        let folder = contract(included, "f: func();", "export e;");
        let text = format!(
            "package a:c@{version};\n\
             world v {{ include a:b/w@{included}; import more: func(); }}"
        );
        write(&folder, "c", &text);
        folder
    }

    fn read(folder: &Path, name: &str) -> Result<Contract> {
        Ok(contracts(folder, "")?.remove(name).unwrap())
    }

    fn problems(base: &TempDir, new: &TempDir, name: &str) -> Result<Vec<String>> {
        super::problems(&read(base.path(), name)?, &read(new.path(), name)?)
    }

    #[test]
    fn what_changed_and_which_version_it_needs() {
        const F: &str = "f: func(); record r { x: u32 } h: func() -> r;";
        const MORE: &str = "f: func(); record r { x: u32 } h: func() -> r; added: func();";
        const FEWER: &str = "record r { x: u32 } h: func() -> r;";
        const FIELD: &str = "f: func(); record r { x: u32, y: u32 } h: func() -> r;";
        const UNSTABLE: &str = "f: func(); record r { x: u32 } h: func() -> r; \
                                @unstable(feature = a) added: func();";
        const OTHERWISE: &str = "f: func(); record r { x: u32 } h: func() -> r; \
                                 @unstable(feature = a) added: func() -> u32;";
        const E: &str = "export e;";
        for (before, base, imported, world, new, expected) in [
            (F, "0.1.0", F, E, "0.1.0", 0),
            // A component that calls `added` does not run in the released host.
            (F, "0.1.0", MORE, E, "0.1.0", 1),
            (F, "0.1.0", MORE, E, "0.1.1", 0),
            (F, "1.1.0", MORE, E, "1.2.0", 0),
            // A released component calls `f`.
            (F, "0.1.0", FEWER, E, "0.1.0", 1),
            (F, "0.1.0", FEWER, E, "0.1.1", 1),
            (F, "0.0.1", FEWER, E, "0.0.2", 0),
            (F, "0.1.0", FEWER, E, "0.2.0", 0),
            (F, "1.1.0", FEWER, E, "1.2.0", 1),
            (F, "1.1.0", FEWER, E, "2.0.0", 0),
            (F, "0.1.0", FIELD, E, "0.1.0", 2),
            (F, "0.1.0", FIELD, E, "0.1.1", 1),
            (F, "0.1.0", FIELD, E, "0.2.0", 0),
            // A host that asks for fewer exports takes every released component.
            (F, "0.1.0", F, "import e;", "0.1.1", 0),
            (F, "0.1.0", F, "import e;", "0.1.0", 1),
            (F, "0.1.0", F, "export e; export more: func();", "0.1.1", 1),
            (F, "0.1.0", F, "export e; import more: func();", "0.1.1", 0),
            (F, "0.2.0", F, E, "0.1.0", 1),
            // Nothing is promised of what is unstable, until it no longer is.
            (F, "0.1.0", UNSTABLE, E, "0.1.0", 0),
            (UNSTABLE, "0.1.0", OTHERWISE, E, "0.1.0", 0),
            (UNSTABLE, "0.1.0", F, E, "0.1.0", 0),
            (UNSTABLE, "0.1.0", MORE, E, "0.1.0", 1),
            (UNSTABLE, "0.1.0", MORE, E, "0.1.1", 0),
        ] {
            let old = contract(base, before, E);
            let changed = contract(new, imported, world);
            let found = problems(&old, &changed, "b").unwrap();
            assert_eq!(
                found.len(),
                expected,
                "{base} to {new} with {imported} {world}: {found:#?}"
            );
        }
    }

    #[test]
    fn a_package_that_includes_another_depends_on_its_version() {
        let old = including("0.1.0", "0.1.0");
        for (version, included, expected) in [
            ("0.1.0", "0.1.0", 0),
            ("0.1.0", "0.1.1", 1),
            ("0.1.1", "0.1.1", 0),
            ("0.1.1", "0.2.0", 1),
            ("0.2.0", "0.2.0", 0),
        ] {
            let new = including(version, included);
            let found = problems(&old, &new, "c").unwrap();
            assert_eq!(
                found.len(),
                expected,
                "{version} with {included}: {found:?}"
            );
        }
    }

    #[test]
    fn what_the_included_package_changed_is_a_change() {
        let old = including("0.1.0", "0.1.0");
        let new = including("0.1.0", "0.1.0");
        let text = "package a:b@0.1.0; interface i { f: func(x: u32); } world w { import i; }";
        write(&new, "b", text);
        let found = problems(&old, &new, "c").unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn what_cannot_be_compared_is_an_error_that_says_so() {
        let good = contract("0.1.0", "f: func();", "export e;");
        let error = |folder: &TempDir| format!("{:#}", problems(&good, folder, "b").unwrap_err());
        let lonely = contract("0.1.0", "f: func();", "");
        assert!(error(&lonely).contains("the interface e is in no world"));
        let other = tempfile::tempdir().unwrap();
        write(&other, "b", "package a:c@0.1.0;");
        assert!(error(&other).contains("the last release is the package a:b"));
        write(&other, "b", "package a:b;");
        assert!(error(&other).contains("has no version"));
        write(&other, "b", "no package");
        assert!(error(&other).contains("is not a package of WIT files"));
        write(&other, "b", "package a:b@0.1.0; world w { include x:y/z; }");
        assert!(error(&other).contains("do not fit"));
    }

    #[test]
    fn the_file_with_the_version_is_known() {
        let folder = contract("0.1.0", "f: func();", "export e;");
        std::fs::write(folder.path().join("b/more.wit"), "interface more {}").unwrap();
        let text = "package a:b@0.1.0; interface i {} world w { import i; import more; }";
        write(&folder, "b", text);
        let file = read(folder.path(), "b").unwrap().file;
        assert_eq!(file, folder.path().join("b/x.wit"));
    }
}
