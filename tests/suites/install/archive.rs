//! `--from` and the program's `setup`: without a clone.

use std::path::{Path, PathBuf};
use std::process::Command;

use plexum_openai_provider_tests::workspace::program;

use super::home::{CONFIG, Home, PLUGIN, PROGRAM, Tree};
use super::repository::root;

/// The folder that an archive unpacks to, with the script in it.
fn unpacked(home: &Home) -> PathBuf {
    let folder = home.scratch.path().join("plexum-openai-provider-0.1.0-x");
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    std::fs::copy(
        home.program("of a release"),
        folder.join("bin/plexum-openai-provider"),
    )
    .unwrap();
    std::fs::copy(root().join("scripts/install.sh"), folder.join("install.sh")).unwrap();
    folder
}

/// An archive of it.
fn archive(home: &Home) -> PathBuf {
    let folder = unpacked(home);
    let archive = folder.with_extension("tar.gz");
    let tar = Command::new("tar")
        .arg("-C")
        .arg(home.scratch.path())
        .arg("-czf")
        .arg(&archive)
        .arg(folder.file_name().unwrap())
        .status();
    assert!(tar.unwrap().success());
    archive
}

fn list_digest(archive: &Path) {
    let output = Command::new("sha256sum")
        .current_dir(archive.parent().unwrap())
        .arg(archive.file_name().unwrap())
        .output()
        .unwrap();
    std::fs::write(archive.with_file_name("SHA256SUMS"), output.stdout).unwrap();
}

#[test]
fn the_script_in_an_archive_installs_the_program_beside_it() {
    let home = Home::new();
    let folder = unpacked(&home);
    let mut script = home.script();
    let mut in_archive = Command::new(folder.join("install.sh"));
    let variables = script
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    in_archive.env_clear().envs(variables);
    script = in_archive;
    let ran = home.run(&mut script);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(home.read(PROGRAM).contains("# of a release"));
    assert!(home.path.join(CONFIG).is_file());
}

#[test]
fn an_archive_is_installed_if_its_digest_is_the_one_that_was_published() {
    let home = Home::new();
    let archive = archive(&home);
    let install = || {
        let mut script = home.script();
        home.run(script.arg("--from").arg(&archive))
    };
    let ran = install();
    assert!(
        ran.code == Some(1) && ran.stderr.contains("SHA256SUMS is missing"),
        "{ran:?}"
    );
    std::fs::write(archive.with_file_name("SHA256SUMS"), "").unwrap();
    let ran = install();
    assert!(
        ran.code == Some(1) && ran.stderr.contains("is not listed in"),
        "{ran:?}"
    );
    list_digest(&archive);
    let whole = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &whole[..whole.len() - 1]).unwrap();
    let ran = install();
    assert!(
        ran.code == Some(1) && ran.stderr.contains("is damaged, or is another one"),
        "{ran:?}"
    );
    assert_eq!(home.tree(), Tree::new());
    std::fs::write(&archive, whole).unwrap();
    let ran = install();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(home.read(PROGRAM).contains("# of a release"));
}

/// The command `setup` of this program, for this home.
fn setup_of(program: &Path, home: &Home) -> Command {
    let mut setup = Command::new(program);
    setup
        .env_clear()
        .env("HOME", &home.path)
        .env("PATH", home.search_path())
        .env("TMPDIR", &home.temporary)
        .env("XDG_CACHE_HOME", home.machine_code().unwrap())
        .arg("setup");
    setup
}

#[test]
fn setup_by_itself_leaves_the_program_where_it_is_and_takes_out_what_it_has_put_in() {
    let home = Home::new();
    let setup = |arguments: &[&str]| home.run(setup_of(program(), &home).args(arguments));
    let ran = setup(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(home.path.join(PLUGIN).join("plugin.wasm").is_file());
    assert!(!home.path.join(".local").exists());
    assert!(ran.stdout.contains(program().to_str().unwrap()), "{ran:?}");
    let ran = setup(&["--uninstall", "--purge"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(home.tree(), Tree::new());
    // Over an installation that has the program too, that one goes: another is in use now.
    home.install([] as [&str; 0]);
    let ran = setup(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!home.path.join(PROGRAM).exists(), "{ran:?}");
    let told = format!("removed {}", home.path.join(PROGRAM).display());
    assert!(ran.stdout.contains(&told), "{ran:?}");
}

#[test]
fn setup_of_the_installed_program_puts_in_another_component_and_stays() {
    let home = Home::new();
    // Itself, as a script would not be what runs.
    let mut script = home.script();
    let ran = home.run(script.arg("--program").arg(program()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let before = home.tree();
    let component = home.scratch.path().join("pulled.wasm");
    std::fs::write(&component, plexum_openai_provider::COMPONENT).unwrap();
    for arguments in [&["--dry-run"] as &[&str], &[]] {
        let mut setup = setup_of(&home.path.join(PROGRAM), &home);
        setup.arg("--component").arg(&component).args(arguments);
        let ran = home.run(&mut setup);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.stdout.contains("remove"), "{ran:?}");
        assert_eq!(home.tree(), before);
    }
}
