//! What is in the archive, and that it is the same each time.

use std::collections::BTreeSet;
use std::process::Command;

use super::{NAME, ROOT, TARGET, VERSION, found, release, run};

#[test]
fn the_same_commit_gives_the_same_files_each_time() {
    let (Some(one), Some(other)) = (release(&["--deb"]), release(&["--deb"])) else {
        return;
    };
    let sums = |folder: &std::path::Path| std::fs::read_to_string(folder.join("files/SHA256SUMS"));
    let list = sums(one.path()).unwrap();
    assert_eq!(list, sums(other.path()).unwrap());
    // The list names every file, and rightly.
    let files = one.path().join("files");
    run(Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(&files));
    let listed: BTreeSet<_> = list.lines().map(|line| line[66..].to_owned()).collect();
    let mut there: BTreeSet<_> = found(&files, "%P").into_iter().collect();
    assert!(there.remove("SHA256SUMS"));
    assert_eq!(listed, there);
}

#[test]
fn the_archive_is_one_folder_with_all_that_an_installation_needs() {
    let Some(folder) = release(&[]) else {
        return;
    };
    let label = format!("{NAME}-{VERSION}-{TARGET}");
    let archive = folder.path().join(format!("files/{label}.tar.gz"));
    let listed = run(Command::new("tar").args(["--list", "--file"]).arg(&archive));
    assert!(listed.lines().all(|line| line.starts_with(&label)));
    // Each file is one of root's, none can be written by others, and a stranger's umask changes nothing.
    let verbose = run(Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--file"])
        .arg(&archive));
    for line in verbose.lines() {
        let modes = ["drwxr-xr-x 0/0", "-rwxr-xr-x 0/0", "-rw-r--r-- 0/0"];
        assert!(modes.iter().any(|mode| line.starts_with(mode)), "{line}");
    }
    run(Command::new("tar")
        .args(["--extract", "--file"])
        .arg(&archive)
        .current_dir(folder.path()));
    let top = folder.path().join(&label);

    let root = std::path::Path::new(ROOT);
    let same = |file: &str, original: &str| {
        let read = |path: std::path::PathBuf| std::fs::read(path).unwrap();
        assert!(read(top.join(file)) == read(root.join(original)), "{file}");
    };
    same("install.sh", "scripts/install.sh");
    same("README.md", "README.md");
    same("CHANGELOG.md", "CHANGELOG.md");
    same("LICENSE-MIT", "host-shim/LICENSE-MIT");
    same("LICENSE-APACHE", "host-shim/LICENSE-APACHE");
    for (folder, original) in [("schemas", "host-shim/schemas"), ("docs", "host-shim/docs")] {
        let files = found(&top.join(folder), "%P");
        assert_eq!(files, found(&root.join(original), "%P"));
        for file in files {
            same(&format!("{folder}/{file}"), &format!("{original}/{file}"));
        }
    }
    let packaged: BTreeSet<_> = found(&top.join("wit"), "%P").into_iter().collect();
    let mut tracked = Command::new("git");
    tracked.args(["ls-files", "wit"]).current_dir(ROOT);
    let tracked = run(&mut tracked);
    let tracked: BTreeSet<_> = tracked.lines().map(|file| file[4..].to_owned()).collect();
    assert_eq!(packaged, tracked);
    for file in packaged {
        same(&format!("wit/{file}"), &format!("wit/{file}"));
    }

    let wasm = std::fs::read(top.join("plugin.wasm")).unwrap();
    assert!(wasm == plexum_openai_provider::COMPONENT);
    let program = top.join("bin").join(NAME);
    let printed =
        |arguments: &[&str]| run(Command::new(&program).args(arguments).current_dir(&top));
    let kept = |file: &str| std::fs::read_to_string(top.join(file)).unwrap();
    assert_eq!(kept("plugin.json"), printed(&["manifest", "plugin.wasm"]));
    for (shell, file) in [
        ("bash", format!("{NAME}.bash")),
        ("zsh", format!("_{NAME}")),
        ("fish", format!("{NAME}.fish")),
    ] {
        let file = format!("completions/{file}");
        assert_eq!(kept(&file), printed(&["completions", shell]));
    }
    printed(&["man", "--dir", "again"]);
    assert_eq!(
        found(&top.join("man"), "%P %s"),
        found(&top.join("again"), "%P %s")
    );
}
