//! `scripts/wit-semver.sh`: whether the version of a package says what changed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::ROOT;
use super::packages::folders;

/// A copy of `wit/`, in which `old` is replaced by `new` in one place.
fn changed(old: &str, new: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let mut places = 0;
    for (folder, path) in folders() {
        fs::create_dir(copy.path().join(&folder)).unwrap();
        for file in fs::read_dir(path).unwrap() {
            let file = file.unwrap();
            if !file.file_name().to_string_lossy().ends_with(".wit") {
                continue;
            }
            let text = fs::read_to_string(file.path()).unwrap();
            places += text.matches(old).count();
            let copied = copy.path().join(&folder).join(file.file_name());
            fs::write(copied, text.replace(old, new)).unwrap();
        }
    }
    assert_eq!(places, 1, "{old}");
    copy
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

/// The script's answer when the last release was `wit/` with `old` replaced by `new`.
fn compared_with(old: &str, new: &str) -> (Option<i32>, String) {
    let released = changed(old, new);
    wit_semver(Path::new(ROOT), Some(released.path()))
}

const TERMINATE: &str = "terminate: func();";
const CODEX: &str = "package plexum:codex@0.1.0;";

#[test]
fn a_change_of_a_package_needs_another_version_of_it() {
    let (code, said) = compared_with(TERMINATE, TERMINATE);
    assert_eq!(code, Some(0), "{said}");

    // As if `child.end` had been released, and called `child.terminate` since.
    let (code, said) = compared_with(TERMINATE, "end: func();");
    assert_eq!(code, Some(1), "{said}");
    for part in ["terminate", "end", "The version in wit/codex/world.wit"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("wit/provider/world.wit"), "{said}");

    // What the other package includes changes that one too.
    let (code, said) = compared_with("cancel: func();", "cancel: func() -> bool;");
    assert_eq!(code, Some(1), "{said}");
    for file in ["wit/provider/world.wit", "wit/codex/world.wit"] {
        assert!(said.contains(file), "{file}: {said}");
    }
}

#[test]
fn another_version_may_change_and_what_is_unstable_may_at_any_time() {
    let released = changed(TERMINATE, "end: func();");
    let world = released.path().join("codex/world.wit");
    let text = fs::read_to_string(&world).unwrap();
    fs::write(&world, text.replace(CODEX, "package plexum:codex@0.0.9;")).unwrap();
    for file in fs::read_dir(released.path().join("codex")).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("@since(version = 0.1.0)", "@since(version = 0.0.9)");
        fs::write(file, text).unwrap();
    }
    let (code, said) = wit_semver(Path::new(ROOT), Some(released.path()));
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = compared_with("back-off: func() -> bool;", "wait-long: func();");
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_package_without_a_release_is_new() {
    let released = changed(CODEX, CODEX);
    fs::remove_dir_all(released.path().join("codex")).unwrap();
    let (code, said) = wit_semver(Path::new(ROOT), Some(released.path()));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("plexum:codex is new"), "{said}");

    // As all were before each had a folder.
    for file in fs::read_dir(released.path().join("provider")).unwrap() {
        let file = file.unwrap();
        fs::rename(file.path(), released.path().join(file.file_name())).unwrap();
    }
    let (code, said) = wit_semver(Path::new(ROOT), Some(released.path()));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("nothing to compare them with"), "{said}");
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
