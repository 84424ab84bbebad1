//! `--plexum-config`: the entry in Plexum's own configuration.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use super::blocked::NOBODY;
use super::home::{Home, Ran, Tree};

const BEFORE: &str = "{\n    \"zeta\": 1.50,\n    \"plugins\": {\n        \"allow\": [\n            \"other\"\n        ],\n        \"deny\": []\n    },\n    \"alpha\": { \"odd\":true }\n}\n";
const AFTER: &str = "{\n    \"zeta\": 1.50,\n    \"plugins\": {\n        \"allow\": [\n            \"other\",\n            \"plexum-openai-provider\"\n        ],\n        \"deny\": []\n    },\n    \"alpha\": { \"odd\":true }\n}\n";

fn install(home: &Home, file: &Path) -> Ran {
    home.install(["--plexum-config".as_ref(), file.as_os_str()])
}

#[test]
fn the_entry_is_added_once_through_the_link_and_nothing_else_changes() {
    let home = Home::new();
    home.write("-dot files/pl'ex\"um.json", BEFORE);
    let real = home.path.join("-dot files/pl'ex\"um.json");
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
    home.write(".plexum/x", "");
    let link = home.path.join(".plexum/config.json");
    symlink("../-dot files/pl'ex\"um.json", &link).unwrap();
    // Root may give it to somebody, whose it must stay; anybody else keeps it.
    let given = chown(&real, Some(NOBODY), Some(NOBODY)).is_ok();
    let owner = || {
        let metadata = real.metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        (mode, given.then(|| (metadata.uid(), metadata.gid())))
    };
    let expected = (0o640, given.then_some((NOBODY, NOBODY)));

    let ran = install(&home, &link);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stdout.contains("+="), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&real).unwrap(), AFTER);
    assert!(link.is_symlink());
    assert_eq!(owner(), expected);

    let ran = install(&home, &link);
    assert!(ran.stdout.contains("in `plugins.allow` already"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&real).unwrap(), AFTER);

    let mut script = home.script();
    script.args(["--uninstall", "--purge", "--plexum-config"]);
    let ran = home.run(script.arg(&link));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&real).unwrap(), BEFORE);
    assert!(link.is_symlink());
    assert_eq!(owner(), expected);
}

#[test]
fn a_list_that_is_made_is_reported() {
    let home = Home::new();
    home.write("plexum.json", "{}");
    let ran = install(&home, &home.path.join("plexum.json"));
    assert!(
        ran.stdout
            .contains("if Plexum loads other plugins, name them there too"),
        "{ran:?}"
    );
}

#[test]
fn a_file_that_is_none_changes_nothing_at_all() {
    let home = Home::new();
    for (text, expected) in [
        (Some("{ \"plugins\": "), "it is not JSON"),
        (Some("// {}"), "it is not JSON"),
        (Some("[]"), "it is not an object"),
        (Some("{\"plugins\": 7}"), "`plugins` is not an object"),
        (
            Some("{\"plugins\": {\"allow\": {}}}"),
            "`plugins.allow` is not a list",
        ),
        (None, "cannot be found"),
    ] {
        let file = home.scratch.path().join("plexum.json");
        match text {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let ran = install(&home, &file);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stderr.contains(expected) && ran.stderr.contains("nothing was installed"),
            "{ran:?}"
        );
        assert_eq!(home.tree(), Tree::new());
        assert_eq!(std::fs::read_to_string(&file).ok().as_deref(), text);
    }
    let ran = install(&home, home.scratch.path());
    assert!(
        ran.code == Some(1) && ran.stderr.contains("is not a file"),
        "{ran:?}"
    );
}
