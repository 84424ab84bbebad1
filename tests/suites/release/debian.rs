//! The package for Debian.

use std::process::Command;

use plexum_openai_provider_tests::tool;

use super::{NAME, VERSION, found, release, run};

#[test]
fn it_installs_and_goes_without_a_trace_and_lintian_finds_no_error() {
    let test = tool::current_test();
    let Some(lintian) = tool::on_path(&test, "lintian") else {
        return;
    };
    let Some(folder) = release(&["--deb"]) else {
        return;
    };
    let package = folder
        .path()
        .join(format!("files/{NAME}_{VERSION}-1_amd64.deb"));
    // The overrides are for a program, and a script stands in for it.
    run(Command::new(lintian)
        .args(["--allow-root", "--fail-on", "error"])
        .arg(&package));

    let root = folder.path().join("root");
    for name in [
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "var/lib/dpkg/triggers",
    ] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let dpkg = |arguments: &[&str]| {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", root.display()))
            .args(["--force-not-root", "--force-architecture"])
            .arg(format!("--log={}", root.join("log").display()))
            .args(arguments);
        run(&mut dpkg)
    };
    dpkg(&["--install", package.to_str().unwrap()]);
    assert!(dpkg(&["--status", NAME]).contains("Status: install ok installed"));
    let usr = root.join("usr");
    let program = usr.join("bin").join(NAME);
    let version = run(Command::new(&program).arg("--version"));
    assert_eq!(version, format!("{NAME} {VERSION}\n"));
    let component = std::fs::read(usr.join("lib").join(NAME).join("plugin.wasm")).unwrap();
    assert!(component == plexum_openai_provider::COMPONENT);
    let share = usr.join("share");
    for file in [
        format!("bash-completion/completions/{NAME}"),
        format!("zsh/vendor-completions/_{NAME}"),
        format!("fish/vendor_completions.d/{NAME}.fish"),
        format!("man/man1/{NAME}.1.gz"),
        format!("man/man1/{NAME}-say.1.gz"),
        format!("doc/{NAME}/copyright"),
        format!("doc/{NAME}/changelog.gz"),
        format!("doc/{NAME}/changelog.Debian.gz"),
    ] {
        assert!(share.join(&file).is_file(), "{file}");
    }
    dpkg(&["--purge", NAME]);
    assert!(!usr.exists(), "left: {:?}", found(&usr, "%P"));
}
