//! A file that has two names, and an installation that is not where its record says.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::home::{CONFIG, Home, PLUGIN, PROGRAM, Ran, Tree, tree};

/// Runs the script for a home that is spelled like this.
fn run(home: &Home, spelled: &Path, args: &[&str]) -> Ran {
    let mut script = home.script();
    script.env("HOME", spelled).args(args);
    if !args.contains(&"--uninstall") {
        script.arg("--program").arg(home.quick_program("stand-in"));
    }
    home.run(&mut script)
}

fn names(tree: Tree) -> Vec<PathBuf> {
    tree.into_keys().collect()
}

#[test]
fn an_upgrade_through_a_link_to_the_home_keeps_everything_and_so_does_the_way_back() {
    let home = Home::new();
    let link = home.scratch.path().join("link");
    symlink(&home.path, &link).unwrap();
    for (first, second) in [(&home.path, &link), (&link, &home.path)] {
        run(&home, first, &[]);
        let before = names(home.tree());
        let dry = run(&home, second, &["--dry-run"]);
        let ran = run(&home, second, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(names(home.tree()), before);
        for said in [&dry.stdout, &ran.stdout] {
            let removes =
                |line: &str| line.starts_with("would remove") || line.starts_with("removed");
            assert!(!said.lines().any(removes), "{said}");
        }
        run(&home, first, &["--uninstall", "--purge"]);
        assert_eq!(home.tree(), Tree::new());
    }
}

#[test]
fn an_upgrade_under_a_prefix_that_is_a_link_to_the_old_one_removes_nothing() {
    let home = Home::new();
    let (real, link) = (home.path.join("opt"), home.path.join("current"));
    std::fs::create_dir(&real).unwrap();
    symlink("opt", &link).unwrap();
    for prefix in [&real, &link, &real] {
        let prefix = prefix.to_str().unwrap();
        let ran = run(&home, &home.path, &["--prefix", prefix]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(real.join("bin/plexum-openai-provider").is_file());
        let pages = std::fs::read_dir(real.join("share/man/man1")).unwrap();
        assert!(pages.count() > 10);
    }
}

#[test]
fn an_upgrade_stays_under_the_prefix_of_the_installation() {
    let home = Home::new();
    let elsewhere = home.scratch.path().join("elsewhere");
    let program = elsewhere.join("bin/plexum-openai-provider");
    run(
        &home,
        &home.path,
        &["--prefix", elsewhere.to_str().unwrap()],
    );
    let before = (names(home.tree()), names(tree(&elsewhere)));
    for args in [&["--dry-run"] as &[&str], &[]] {
        let ran = run(&home, &home.path, args);
        let program = program.to_str().unwrap();
        assert!(ran.stdout.contains(program), "{ran:?}");
        assert!(!ran.stdout.contains(".local/bin"), "{ran:?}");
        assert_eq!((names(home.tree()), names(tree(&elsewhere))), before);
    }
}

#[test]
fn what_another_prefix_removes_is_said_before_and_after() {
    let home = Home::new();
    let elsewhere = home.scratch.path().join("elsewhere");
    run(&home, &home.path, &[]);
    let before = names(home.tree());
    let args = ["--prefix", elsewhere.to_str().unwrap()];
    let dry = run(&home, &home.path, &[args[0], args[1], "--dry-run"]);
    let ran = run(&home, &home.path, &args);
    let after = names(home.tree());
    let gone: Vec<_> = before.iter().filter(|path| !after.contains(path)).collect();
    assert!(gone.contains(&&PathBuf::from(PROGRAM)), "{gone:?}");
    for path in &gone {
        let path = home.path.join(path);
        let (would, did) = (
            format!("would remove {}", path.display()),
            format!("removed {}", path.display()),
        );
        assert!(dry.stdout.lines().any(|line| line == would), "{would}");
        assert!(
            ran.stdout.lines().any(|line| line.starts_with(&did)),
            "{did}"
        );
    }
    let said = dry
        .stdout
        .lines()
        .filter(|line| line.starts_with("would remove "));
    assert_eq!(said.count(), gone.len(), "{dry:?}");
    let plugin = home.path.join(PLUGIN);
    let listed = format!("in {}/.installed", plugin.display());
    assert!(dry.stdout.contains(&listed), "{dry:?}");
    let folder = format!("would make the folder {}", elsewhere.display());
    assert!(dry.stdout.contains(&folder), "{dry:?}");
}

#[test]
fn blanks_at_the_end_of_a_name_are_part_of_it() {
    let home = Home::new();
    for blank in [" ", "\t", "  \t "] {
        let mine = home.path.join("folder");
        std::fs::create_dir(&mine).unwrap();
        let prefix = home.path.join(format!("folder{blank}"));
        run(&home, &home.path, &["--prefix", prefix.to_str().unwrap()]);
        assert!(prefix.join("bin/plexum-openai-provider").is_file());
        let ran = run(&home, &home.path, &["--uninstall", "--purge"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(names(home.tree()), [Path::new("folder")], "{blank:?}");
        std::fs::remove_dir(mine).unwrap();
    }
}

#[test]
fn a_plugin_folder_that_is_a_link_is_used_and_stays() {
    let home = Home::new();
    std::fs::create_dir(home.path.join("dotfiles")).unwrap();
    std::fs::create_dir_all(home.path.join(PLUGIN).parent().unwrap()).unwrap();
    symlink(home.path.join("dotfiles"), home.path.join(PLUGIN)).unwrap();
    let before = home.tree();
    run(&home, &home.path, &[]);
    assert!(home.path.join("dotfiles/plugin.wasm").is_file());
    let ran = run(&home, &home.path, &["--uninstall", "--purge"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.stdout.contains("is a link"), "{ran:?}");
    assert_eq!(home.tree(), before);
}

#[test]
fn the_record_of_a_copied_home_touches_nothing_of_the_first() {
    let home = Home::new();
    let elsewhere = home.scratch.path().join("elsewhere");
    for prefix in [None, Some(elsewhere.to_str().unwrap())] {
        let args: Vec<_> = prefix
            .iter()
            .flat_map(|prefix| ["--prefix", prefix])
            .collect();
        run(&home, &home.path, &args);
        let copy = home.scratch.path().join("copy");
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([&home.path, &copy])
            .status();
        assert!(copied.unwrap().success());
        let here = || {
            (
                tree(&home.path),
                elsewhere.exists().then(|| tree(&elsewhere)),
            )
        };
        let before = here();
        // An upgrade there, and a removal.
        let ran = run(&home, &copy, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(copy.join(PROGRAM).is_file(), "{ran:?}");
        assert!(here() == before);
        let ran = run(&home, &copy, &["--uninstall", "--purge"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(here() == before);
        assert!(!copy.join(PROGRAM).exists() && !copy.join(CONFIG).exists());
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn a_home_that_was_moved_is_upgraded_and_emptied_where_it_is_now() {
    let home = Home::new();
    run(&home, &home.path, &[]);
    let moved = home.scratch.path().join("moved");
    std::fs::rename(&home.path, &moved).unwrap();
    let ran = run(&home, &moved, &["--uninstall", "--purge"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut left = tree(&moved);
    left.retain(|path, _| !path.starts_with(".cache"));
    assert_eq!(left, Tree::new());
    std::fs::create_dir(&home.path).unwrap();
}
