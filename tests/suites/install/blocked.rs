//! Where it cannot be installed: a clear error, and nothing half-done.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::home::{Home, PLUGIN, PROGRAM, Ran, Tree};
use super::repository::Repository;

/// A user without rights, for tests that run as root: root may do everything.
pub const NOBODY: u32 = 65534;

fn is_clear(ran: &Ran, path: &Path) -> bool {
    ran.code == Some(1)
        && ran.stderr.contains(path.to_str().unwrap())
        && ran.stderr.contains("Nothing was installed")
        && ran.stderr.contains("--prefix")
        && ran.stderr.contains("--home DIR")
}

#[test]
fn a_home_below_a_file_is_named() {
    let home = Home::new();
    let file = home.path.join("file");
    std::fs::write(&file, "").unwrap();
    let before = home.tree();
    for dry_run in [false, true] {
        let mut script = home.script();
        script.env("HOME", file.join("home"));
        script.arg("--program").arg(home.program("stand-in"));
        if dry_run {
            script.arg("--dry-run");
        }
        let ran = home.run(&mut script);
        assert!(is_clear(&ran, &file), "{ran:?}");
        assert_eq!(home.tree(), before);
    }
}

#[test]
fn a_folder_that_may_not_be_written_to_is_named_before_anything_is_built() {
    let home = Home::new();
    let repository = Repository::new();
    let as_root = home.path.metadata().unwrap().uid() == 0;
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    // Nobody must be able to read the script and to look into the home.
    mode(home.scratch.path(), 0o755);
    mode(&repository.path(""), 0o755);
    let manuals = home.path.join(".local/share/man");
    std::fs::create_dir_all(&manuals).unwrap();
    for (open, closed) in [
        (vec![], home.path.clone()),
        (vec![&home.path, &manuals], home.path.join(".local/share")),
    ] {
        // The manual pages can be written, and the completions cannot.
        for folder in open {
            mode(folder, 0o777);
        }
        mode(&home.path.join(".local"), 0o777);
        mode(&closed, 0o555);
        let before = home.tree();
        // No program is given, and there is no cargo.
        let mut script = home.script_in(&repository.path(""));
        if as_root {
            script.uid(NOBODY).gid(NOBODY);
        }
        let ran = home.run(&mut script);
        assert!(is_clear(&ran, &closed), "{ran:?}");
        assert!(ran.stderr.contains("cannot be written to"), "{ran:?}");
        assert_eq!(home.tree(), before);
        mode(&closed, 0o755);
    }
}

#[test]
fn a_folder_in_the_place_of_a_file_undoes_what_had_begun() {
    let home = Home::new();
    // The last place of all, so that everything else has been written beside its own.
    std::fs::create_dir_all(home.path.join(PROGRAM)).unwrap();
    let before = home.tree();
    let ran = home.install([] as [&str; 0]);
    assert!(is_clear(&ran, &home.path.join(PROGRAM)), "{ran:?}");
    assert_eq!(home.tree(), before);
}

#[test]
fn what_cannot_be_written_undoes_what_had_begun() {
    let home = Home::new();
    home.install([] as [&str; 0]);
    let before = home.tree();
    // In the program, the limit is an error; the component is larger.
    let script = "ulimit -f 64; exec \"$@\"";
    let mut limited = home.script();
    let script_path = limited.get_program().to_owned();
    limited = {
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", script, "sh"]).arg(script_path);
        shell.env_clear().envs(
            limited
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        shell
    };
    let ran = home.run(limited.arg("--program").arg(home.program("another")));
    assert!(is_clear(&ran, &home.path.join(PLUGIN)), "{ran:?}");
    assert!(ran.stderr.contains("File too large"), "{ran:?}");
    assert_eq!(home.tree(), before);
}

#[test]
fn a_home_that_is_not_set_or_not_absolute_is_an_error() {
    let home = Home::new();
    for (value, expected) in [
        (None, "HOME is not set"),
        (Some(""), "HOME is not set"),
        (Some("home"), "HOME is not an absolute path ('home')"),
    ] {
        let script = || {
            let mut script = home.script();
            script
                .env_remove("HOME")
                .envs(value.map(|value| ("HOME", value)));
            script.current_dir(home.scratch.path());
            script.arg("--program").arg(home.program("stand-in"));
            script
        };
        let ran = home.run(&mut script());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stderr.contains(expected) && ran.stderr.contains("--home DIR"),
            "{ran:?}"
        );
        assert_eq!(home.tree(), Tree::new());
        // Told the home, it needs no other.
        let ran = home.run(script().arg("--home").arg(home.scratch.path().join("told")));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let told = home.scratch.path().join("told");
        assert!(told.join(PLUGIN).join("plugin.json").exists());
        std::fs::remove_dir_all(told).unwrap();
    }
}

#[test]
fn without_a_program_and_without_cargo_the_remedy_is_shown() {
    let home = Home::new();
    let ran = home.run(&mut home.script());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("https://rustup.rs"), "{ran:?}");
    assert_eq!(home.tree(), Tree::new());
}
