//! Where something was installed before.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::home::{CONFIG, Home, PLUGIN, PROGRAM, Tree};

const NONE: [&str; 0] = [];

#[test]
fn a_configuration_that_is_there_is_kept_byte_for_byte() {
    let text = "{ \"sandbox\":\r\n\t\"read-only\" }";
    let home = Home::new();
    home.write(CONFIG, text);
    let ran = home.install(NONE);
    assert_eq!((ran.code, home.read(CONFIG)), (Some(0), text.to_owned()));
    // One that nothing can be made of belongs to the operator all the same.
    home.write(CONFIG, "{ half");
    let ran = home.install(NONE);
    assert_eq!(
        (ran.code, home.read(CONFIG)),
        (Some(0), "{ half".to_owned())
    );
    assert!(
        ran.stderr.contains("your config.json was kept") && ran.stderr.contains("config.json:1:"),
        "{ran:?}"
    );
}

#[test]
fn a_configuration_that_is_a_link_stays_one_even_to_nowhere() {
    let home = Home::new();
    home.write(&format!("{PLUGIN}/x"), "");
    symlink("../../elsewhere.json", home.path.join(CONFIG)).unwrap();
    home.install(NONE);
    let link = std::fs::read_link(home.path.join(CONFIG)).unwrap();
    assert_eq!(link.to_str(), Some("../../elsewhere.json"));
    assert!(!home.path.join(".plexum/elsewhere.json").exists());
}

#[test]
fn a_configuration_that_pins_another_component_is_kept_and_warned_of() {
    let home = Home::new();
    home.write(
        CONFIG,
        &format!("{{\"component_sha256\": \"{}\"}}", "0".repeat(64)),
    );
    let ran = home.install(NONE);
    assert!(
        ran.code == Some(0) && ran.stderr.contains("`component_sha256`"),
        "{ran:?}"
    );
}

#[test]
fn the_second_time_changes_nothing() {
    let home = Home::new();
    home.install(NONE);
    let before = home.tree();
    let ran = home.install(NONE);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(home.tree(), before);
}

#[test]
fn an_upgrade_replaces_its_files_and_removes_those_that_are_no_more() {
    let home = Home::new();
    let install = |version: &str| {
        let mut script = home.script();
        let ran = home.run(script.arg("--program").arg(home.program(version)));
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    install("first");
    // As an earlier version installed them.
    let (old, changed) = (
        earlier(&home, &format!("{PLUGIN}/wit/codex/old.wit")),
        earlier(&home, &format!("{PLUGIN}/wit/codex/changed.wit")),
    );
    std::fs::write(&changed, "by the operator").unwrap();
    home.write(CONFIG, "{\"sandbox\": \"read-only\"}");

    // Whoever has the old one open, because it runs, goes on with it.
    let mut running = File::open(home.path.join(PROGRAM)).unwrap();
    install("second");
    let mut text = String::new();
    running.read_to_string(&mut text).unwrap();
    assert!(text.contains("# first"), "{text}");
    assert!(home.read(PROGRAM).contains("# second"));
    assert!(!old.exists());
    assert!(changed.exists(), "the operator's change was lost");
    assert_eq!(home.read(CONFIG), "{\"sandbox\": \"read-only\"}");
}

/// A file that an earlier version has installed, and that this one does not have.
fn earlier(home: &Home, name: &str) -> PathBuf {
    home.write(name, "// earlier\n");
    let path = home.path.join(name);
    let output = Command::new("sha256sum").arg(&path).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let (digest, _) = output.split_once(' ').unwrap();
    let record = format!("{PLUGIN}/.installed");
    let line = format!("file {digest} {}\n", path.display());
    home.write(&record, &(home.read(&record) + &line));
    path
}

#[test]
fn an_upgrade_leaves_nothing_of_the_wit_that_was_in_one_folder() {
    let home = Home::new();
    home.install(NONE);
    let expected = home.tree();

    // As an earlier version installed it.
    let record = format!("{PLUGIN}/.installed");
    let kept: Vec<String> = home
        .read(&record)
        .lines()
        .filter(|line| !line.contains("/wit/"))
        .map(|line| format!("{line}\n"))
        .collect();
    home.write(&record, &kept.concat());
    earlier(&home, &format!("{PLUGIN}/wit/worlds.wit"));
    for package in ["provider", "codex"] {
        std::fs::remove_dir_all(home.path.join(PLUGIN).join("wit").join(package)).unwrap();
    }

    let ran = home.install(NONE);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let without_record = |mut tree: Tree| {
        // It lists the new folders later than it did.
        tree.remove(Path::new(&record));
        tree
    };
    assert_eq!(without_record(home.tree()), without_record(expected));
    let mut script = home.script();
    home.run(script.args(["--uninstall", "--purge"]));
    assert_eq!(home.tree(), Tree::new());
}

#[test]
fn another_prefix_moves_the_program() {
    let home = Home::new();
    home.install(NONE);
    let elsewhere = home.scratch.path().join("elsewhere");
    let ran = home.install(["--prefix".as_ref(), elsewhere.as_os_str()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(elsewhere.join("bin/plexum-openai-provider").exists());
    assert!(!home.path.join(PROGRAM).exists());
    // The uninstallation knows where it is.
    let mut script = home.script();
    home.run(script.args(["--uninstall", "--purge"]));
    assert!(!elsewhere.exists());
}
