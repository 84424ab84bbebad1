//! `--uninstall` and `--purge`.

use std::path::Path;

use super::home::{CONFIG, Home, PLUGIN, PROGRAM, Ran, Tree};

const NONE: [&str; 0] = [];

fn uninstall(home: &Home, arguments: &[&str]) -> Ran {
    let mut script = home.script();
    home.run(script.arg("--uninstall").args(arguments))
}

#[test]
fn uninstalling_leaves_the_configuration_and_what_was_there_before() {
    let home = Home::new();
    home.write(".local/bin/other", "mine");
    home.write(".plexum/plugins/another/config.json", "{}");
    let before = home.tree();
    home.install(NONE);
    let ran = uninstall(&home, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("plugins.allow"), "{ran:?}");
    let mut after = home.tree();
    assert!(after.remove(Path::new(CONFIG)).is_some());
    assert!(after.remove(Path::new(PLUGIN)).is_some());
    assert_eq!(after, before);

    let ran = uninstall(&home, &["--purge"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(home.tree(), before);
    let ran = uninstall(&home, &[]);
    assert!(
        ran.code == Some(0) && ran.stdout.contains("Nothing is installed"),
        "{ran:?}"
    );
}

#[test]
fn purging_leaves_an_empty_home_empty() {
    let home = Home::named("it's a \"home\"");
    home.install(NONE);
    home.install(NONE);
    let ran = uninstall(&home, &["--purge"]);
    assert_eq!((ran.code, home.tree()), (Some(0), Tree::new()), "{ran:?}");
}

#[test]
fn machine_code_is_kept_outside_of_temporary_folders_only_and_goes_too() {
    // Where temporary files go, a sandboxed tool could replace it.
    let home = Home::new().without_machine_code();
    home.install(NONE);
    assert!(!home.has_machine_code());
    let Some(home) = Home::outside_of_temporary_folders() else {
        return;
    };
    home.install(NONE);
    assert!(home.has_machine_code());
    let ran = uninstall(&home, &["--purge"]);
    assert_eq!((ran.code, home.tree()), (Some(0), Tree::new()), "{ran:?}");
    assert!(!home.has_machine_code());
}

#[test]
fn a_file_that_was_changed_since_stays() {
    let home = Home::new();
    home.install(NONE);
    home.write(PROGRAM, "another program of that name");
    let program = home.program("stand-in");
    let ran = uninstall(&home, &["--purge", "--program", program.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stderr
            .contains("plexum-openai-provider was changed since installation, and stays"),
        "{ran:?}"
    );
    assert_eq!(home.read(PROGRAM), "another program of that name");
    assert!(!home.path.join(PLUGIN).exists());
}

#[test]
fn a_dry_run_removes_nothing() {
    let home = Home::new();
    home.install(NONE);
    let before = home.tree();
    let ran = uninstall(&home, &["--purge", "--dry-run"]);
    assert_eq!(home.tree(), before);
    for path in [PROGRAM, CONFIG] {
        let line = format!("would remove {}", home.path.join(path).display());
        assert!(ran.stdout.lines().any(|told| told == line), "{ran:?}");
    }
}
