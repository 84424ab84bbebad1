//! An installation of the script as it was before the program had `setup` (`install-374eb7d.sh`, as it stood then): upgraded,
//! taken back, and removed by either.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::workspace::program;

use super::home::{CONFIG, Home, PLUGIN, PROGRAM, Ran, Tree, write_script};
use super::repository::{Repository, root};

/// The configuration of somebody who writes as they like.
const OWN: &str = "{ \"sandbox\":\r\n\t\"read-only\" }";

/// A page and an interface that only the old version has.
const OLD_PAGE: &str = "plexum-openai-provider-older.1";
const OLD_WIT: &str = "wit/codex/older.wit";

/// A home that both versions are for.
struct Both {
    home: Home,
    old: Repository,
    old_program: PathBuf,
    new_program: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Old,
    New,
}
use Version::{New, Old};

impl Both {
    fn new() -> Self {
        let home = Home::new();
        let old = Repository::new();
        let copy = |from: &str, to: &str| {
            let to = old.path(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(root().join(from), to).unwrap();
        };
        let script = "scripts/install.sh";
        copy("tests/suites/install/install-374eb7d.sh", script);
        let schema = "host-shim/schemas/config.schema.json";
        copy(schema, schema);
        fs::write(old.path(OLD_WIT), "package plexum:codex;\n").unwrap();

        // The program of today, with the commands and pages of then.
        let old_program = home.scratch.path().join("old-program");
        let real = program().display();
        write_script(
            &old_program,
            &format!(
                "# old\ncase $1 in\n\
                 setup) echo \"error: unrecognized subcommand 'setup'\" >&2; exit 2 ;;\n\
                 man) '{real}' \"$@\" && rm \"$3\"/*-setup.1 && echo .TH >\"$3/{OLD_PAGE}\"; exit ;;\n\
                 esac\nexec '{real}' \"$@\""
            ),
        );
        let new_program = home.program("new");
        Both {
            home,
            old,
            old_program,
            new_program,
        }
    }

    /// Runs one of the scripts for a home that is spelled like this.
    fn run_for(&self, spelled: &Path, version: Version, arguments: &[&str]) -> Ran {
        let mut script = match version {
            New => self.home.script(),
            Old => {
                let mut script = Command::new(self.old.path("scripts/install.sh"));
                script
                    .env_clear()
                    .env("PATH", self.whole_path())
                    .env("TMPDIR", &self.home.temporary)
                    .stdin(Stdio::null())
                    .default_signals();
                script
            }
        };
        script.env("HOME", spelled).args(arguments);
        script.env("XDG_CACHE_HOME", self.home.machine_code().unwrap());
        match version {
            New => script.arg("--program").arg(&self.new_program),
            Old if arguments.contains(&"--uninstall") => &mut script,
            Old => script.arg("--program").arg(&self.old_program),
        };
        let ran = self.home.run(&mut script);
        assert_eq!(ran.code, Some(0), "{version:?} {arguments:?}: {ran:?}");
        ran
    }

    fn run(&self, version: Version, arguments: &[&str]) -> Ran {
        self.run_for(&self.home.path, version, arguments)
    }

    /// PATH with this machine's tools: the old script wants bash and most of coreutils.
    fn whole_path(&self) -> OsString {
        let codex = self.home.codex.parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap();
        std::env::join_paths([codex].into_iter().chain(std::env::split_paths(&path))).unwrap()
    }

    /// The files that the record lists, by their real paths from the real home.
    fn recorded(&self) -> BTreeSet<PathBuf> {
        let real_home = self.home.path.canonicalize().unwrap();
        let record = self.home.read(&format!("{PLUGIN}/.installed"));
        let files = record.lines().filter_map(|line| line.strip_prefix("file "));
        files
            .map(|line| {
                let (_, path) = line.split_once(' ').unwrap();
                let real = Path::new(path).canonicalize();
                let real = real.unwrap_or_else(|error| panic!("{path} is recorded: {error}"));
                real.strip_prefix(&real_home).unwrap().to_owned()
            })
            .collect()
    }

    /// All that is in the home besides folders and what an installation has put there.
    fn others(&self) -> Tree {
        let record = self.home.path.join(PLUGIN).join(".installed");
        let mut ours = BTreeSet::new();
        if record.exists() {
            ours = self.recorded();
            let real_home = self.home.path.canonicalize().unwrap();
            let record = record.canonicalize().unwrap();
            ours.insert(record.strip_prefix(real_home).unwrap().to_owned());
        }
        let mut tree = self.home.tree();
        tree.retain(|path, _| {
            let path = self.home.path.join(path);
            let is_folder = path.is_dir() && !path.is_symlink();
            !is_folder && !ours.contains(path.strip_prefix(&self.home.path).unwrap())
        });
        tree
    }
}

/// What a user may have made of the folders before anything was installed; and the prefix.
type Arrangement = (&'static str, fn(&Home), &'static str);

const ARRANGEMENTS: [Arrangement; 6] = [
    ("nothing", |_| (), ".local"),
    (
        "a configuration that is a link",
        |home| {
            home.write("dotfiles/config.json", OWN);
            fs::create_dir_all(home.path.join(PLUGIN)).unwrap();
            symlink("../../../dotfiles/config.json", home.path.join(CONFIG)).unwrap();
        },
        ".local",
    ),
    (
        "a plugin's folder that is a link",
        |home| {
            fs::create_dir_all(home.path.join("dotfiles/plugin")).unwrap();
            fs::create_dir_all(home.path.join(PLUGIN).parent().unwrap()).unwrap();
            symlink("../../dotfiles/plugin", home.path.join(PLUGIN)).unwrap();
        },
        ".local",
    ),
    (
        "folders of ~/.local that are links",
        |home| {
            for folder in ["data/bin", "data/man1", ".local/share/man"] {
                fs::create_dir_all(home.path.join(folder)).unwrap();
            }
            symlink("../data/bin", home.path.join(".local/bin")).unwrap();
            symlink(
                "../../../data/man1",
                home.path.join(".local/share/man/man1"),
            )
            .unwrap();
        },
        ".local",
    ),
    (
        "a prefix that is a link",
        |home| {
            fs::create_dir(home.path.join("opt-1.0")).unwrap();
            symlink("opt-1.0", home.path.join("current")).unwrap();
        },
        "current",
    ),
    (
        "a program that is a link",
        |home| {
            home.write("own/tool", "#!/bin/sh\n");
            fs::create_dir_all(home.path.join(".local/bin")).unwrap();
            symlink("../../own/tool", home.path.join(".local/bin/tool")).unwrap();
        },
        ".local",
    ),
];

#[test]
fn there_and_back_and_removed_by_either_nothing_of_the_users_is_changed() {
    // Each version removes half of them: it takes its time.
    let removers = [Old, New].into_iter().cycle();
    for ((what, arrange, prefix), last) in ARRANGEMENTS.into_iter().zip(removers) {
        let both = Both::new();
        let home = &both.home;
        arrange(home);
        let before = home.tree();
        let absolute = home.path.join(prefix);
        let options = match prefix {
            ".local" => vec![],
            _ => vec!["--prefix", absolute.to_str().unwrap()],
        };
        both.run(Old, &options);
        assert!(!both.recorded().is_empty());
        // Through a link, if it is one.
        home.write(CONFIG, OWN);
        for mine in [
            format!("{prefix}/bin/mine"),
            format!("{prefix}/share/man/man1/mine.1"),
            format!("{prefix}/share/zsh/site-functions/_mine"),
            format!("{PLUGIN}/notes.txt"),
            format!("{PLUGIN}/wit/codex/mine.wit"),
            format!("{PLUGIN}/wit/mine/world.wit"),
            ".plexum/plugins/another/config.json".to_owned(),
        ] {
            home.write(&mine, &mine);
        }
        let users = both.others();
        assert!(users.len() >= 8, "{what}: {users:?}");

        for version in [New, Old, New] {
            both.run(version, &[]);
            assert_eq!(both.others(), users, "{what}, {version:?}");
            assert_eq!(home.read(CONFIG), OWN, "{what}, {version:?}");
            let has = |relative: &str| both.recorded().iter().any(|path| path.ends_with(relative));
            let is_old = version == Old;
            assert_eq!((has(OLD_PAGE), has(OLD_WIT)), (is_old, is_old));
            assert_eq!(has("plexum-openai-provider-setup.1"), !is_old, "{what}");
        }
        both.run(last, &["--uninstall"]);
        assert_eq!(both.others(), users, "{what}, removed by {last:?}");
        for (path, _) in home.tree() {
            let folder = home.path.join(&path);
            let is_empty = |folder: &Path| fs::read_dir(folder).unwrap().next().is_none();
            let is_left = folder.is_dir() && !folder.is_symlink() && is_empty(&folder);
            assert!(!is_left || before.contains_key(&path), "{what}: {path:?}");
        }
    }
}

fn names(tree: Tree) -> Vec<PathBuf> {
    tree.into_keys().collect()
}

/// Whether a line says that something is, or would be, removed.
fn removes(ran: &Ran, path: &Path) -> bool {
    let path = path.display().to_string();
    let mut lines = ran.stdout.lines();
    lines.any(|line| line.contains("remove") && line.contains(&path))
}

#[test]
fn a_home_or_a_prefix_of_two_names_is_one_to_both_versions() {
    for (first, second) in [(Old, New), (New, Old)] {
        let both = Both::new();
        let home = &both.home;
        let link = home.scratch.path().join("link");
        symlink(&home.path, &link).unwrap();
        for (one, other) in [(&home.path, &link), (&link, &home.path)] {
            both.run_for(one, first, &[]);
            let there = |has_old: bool| {
                let mut files = names(both.home.tree());
                files.retain(|path| !path.ends_with(OLD_PAGE) && !path.ends_with(OLD_WIT));
                files.retain(|path| !path.ends_with("plexum-openai-provider-setup.1"));
                assert!(files.len() > 20, "{has_old}");
                files
            };
            let before = there(true);
            let dry = both.run_for(other, second, &["--dry-run"]);
            let ran = both.run_for(other, second, &[]);
            assert_eq!(there(false), before, "{second:?}");
            for ran in [&dry, &ran] {
                assert!(!removes(ran, Path::new("/.local/bin/")), "{ran:?}");
                assert!(!removes(ran, Path::new("plugin.wasm")), "{ran:?}");
            }
            both.run_for(one, first, &["--uninstall", "--purge"]);
            assert_eq!(home.tree(), Tree::new(), "{first:?}");
        }
    }
}

#[test]
fn the_prefix_of_the_installation_is_that_of_the_upgrade_and_another_is_announced() {
    for (first, second) in [(Old, New), (New, Old)] {
        let both = Both::new();
        let home = &both.home;
        let prefix = |name: &str| home.scratch.path().join(name);
        let (one, other) = (prefix("one"), prefix("other"));
        both.run(first, &["--prefix", one.to_str().unwrap()]);
        for arguments in [&["--dry-run"] as &[&str], &[]] {
            let ran = both.run(second, arguments);
            let program = one.join("bin/plexum-openai-provider");
            assert!(program.is_file() && !home.path.join(PROGRAM).exists());
            assert!(!removes(&ran, &program), "{ran:?}");
            assert!(!ran.stdout.contains(".local/bin"), "{ran:?}");
        }
        for (version, from, to) in [(second, &one, &other), (first, &other, &one)] {
            let to_text = to.to_str().unwrap();
            let program = from.join("bin/plexum-openai-provider");
            let dry = both.run(version, &["--prefix", to_text, "--dry-run"]);
            let ran = both.run(version, &["--prefix", to_text]);
            for ran in [&dry, &ran] {
                assert!(removes(ran, &program), "{version:?}: {ran:?}");
            }
            assert!(!program.exists() && to.join("bin/plexum-openai-provider").is_file());
        }
        both.run(second, &["--uninstall", "--purge"]);
        assert_eq!(home.tree(), Tree::new(), "{second:?}");
        assert!(!one.exists() && !other.exists(), "{second:?}");
    }
}

#[test]
fn what_a_killed_one_of_the_old_version_has_left_goes_with_the_upgrade() {
    let both = Both::new();
    let home = &both.home;
    // Folders of the user, which no record lists.
    home.write(".local/bin/mine", "");
    home.write(".plexum/plugins/another/config.json", "{}");
    let before = home.tree();
    both.run(Old, &[]);
    for left in [
        ".local/bin/.plexum-openai-provider.new-aB3dEf".to_owned(),
        format!("{PLUGIN}/.plexum-openai-provider.new-aB3dEf"),
        // A process with this number has never been started at this time.
        format!("{PLUGIN}/.plexum-openai-provider.lock.1.999999999"),
        ".plexum/.plexum-openai-provider.unborn-aB3dEf/plexum-openai-provider/.installed"
            .to_owned(),
    ] {
        home.write(&left, "");
    }
    let elsewhere = home.scratch.path().join("elsewhere");
    both.run(New, &["--prefix", elsewhere.to_str().unwrap()]);
    let hidden = |path: &&PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(".plexum-openai-provider.")
    };
    let left = names(home.tree());
    assert_eq!(left.iter().filter(hidden).count(), 0, "{left:?}");
    both.run(New, &["--uninstall", "--purge"]);
    assert_eq!(home.tree(), before);
    assert!(!elsewhere.exists());
}

#[test]
fn a_removal_that_finds_only_the_old_program_says_how_to_get_another() {
    let both = Both::new();
    let home = &both.home;
    both.run(Old, &[]);
    let before = home.tree();
    let clone = Repository::new();
    let mut script = home.script_in(&clone.path(""));
    let ran = home.run(script.arg("--uninstall"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for remedy in ["--program FILE", "--from FILE"] {
        assert!(ran.stderr.contains(remedy), "{ran:?}");
    }
    assert_eq!(home.tree(), before);
}
