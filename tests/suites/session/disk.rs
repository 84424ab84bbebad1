//! What may be wrong with the session file, or with the disk that it is on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::{Event, FailureKind, NoticeKind, ReplacementReason, SESSION_FILE};
use plexum_openai_provider_tests::codex_home::CodexHome;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::jail::{self, Forbidden};
use plexum_openai_provider_tests::mock_model::MockModel;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::wait::processes_with;
use plexum_openai_provider_tests::workspace::{Said, Workspace, cache_home, program};

const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

/// A turn of a fake codex in a workspace whose session file was made by `make`.
fn turn(make: impl FnOnce(&Path)) -> (Workspace, Said) {
    let fake_codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let workspace = Workspace::scripted(fake_codex, [Step::turn("hi").to_vec()]).unwrap();
    make(&workspace.path().join(SESSION_FILE));
    let said = workspace.turn(None, "hello").unwrap();
    (workspace, said)
}

#[test]
fn what_is_not_a_small_plain_file_is_not_read_and_moved_away() {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), ID).unwrap();
    type Make<'a> = Box<dyn Fn(&Path) + 'a>;
    let cases: [(&str, Make<'_>); 5] = [
        (
            "not a plain file",
            Box::new(|path| fs::create_dir(path).unwrap()),
        ),
        (
            "not a plain file",
            Box::new(|path| {
                assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
            }),
        ),
        (
            "symbolic link",
            Box::new(|path| symlink(elsewhere.path(), path).unwrap()),
        ),
        (
            "symbolic link",
            Box::new(|path| symlink("/nowhere/at/all", path).unwrap()),
        ),
        (
            "too large",
            Box::new(|path| {
                File::create(path).unwrap().set_len(1 << 30).unwrap();
            }),
        ),
    ];
    for (named, make) in cases {
        let mut made = None;
        let (workspace, said) = turn(|path| {
            make(path);
            made = Some(fs::symlink_metadata(path).unwrap());
        });
        // It cannot be known what was there, so a conversation begins, and that is said.
        assert_eq!(said.code, Some(0), "{said:?}");
        let words = format!("{:?}", said.events);
        for part in [named, SESSION_FILE, "a new conversation begins"] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert_eq!(said.start().map(|(_, resumed)| resumed), Some(false));
        let aside = workspace.path().join(format!("{SESSION_FILE}.bad"));
        let left = fs::symlink_metadata(aside).unwrap();
        let made = made.unwrap();
        assert_eq!(
            (left.file_type(), left.len()),
            (made.file_type(), made.len()),
            "{words}"
        );
        let kept = workspace.session().unwrap();
        assert_eq!(kept.as_deref(), said.start().map(|(id, _)| id));
    }
    assert_eq!(fs::read_to_string(elsewhere.path()).unwrap(), ID);
}

#[test]
fn line_ends_around_the_id_do_no_harm() {
    for text in [
        format!("{ID}\r\n"),
        format!("{ID}\n"),
        format!(" {ID} \r\n\r\n"),
    ] {
        let (workspace, said) = turn(|path| fs::write(path, &text).unwrap());
        assert_eq!(said.code, Some(0), "{text:?}: {said:?}");
        let argv = &workspace.calls().unwrap()[0].argv;
        assert!(argv.contains(&ID.to_owned()), "{text:?}: {argv:?}");
    }
}

#[test]
fn what_is_not_an_id_is_put_aside_whole() {
    for text in [
        "",
        "\0\0\0\0",
        &format!("{ID}\0"),
        "\u{feff}hello",
        &format!("{ID}\n{ID}\n"),
    ] {
        let (workspace, said) = turn(|path| fs::write(path, text).unwrap());
        assert_eq!(said.code, Some(0), "{text:?}: {said:?}");
        let replaced = said.events.iter().any(|event| {
            matches!(
                event,
                Event::Notice {
                    kind: NoticeKind::SessionReplaced {
                        reason: ReplacementReason::NotAThreadId,
                        ..
                    },
                    ..
                }
            )
        });
        assert!(replaced, "{text:?}: {said:?}");
        let aside = workspace.path().join(format!("{SESSION_FILE}.bad"));
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
        let (thread_id, resumed) = said.start().unwrap();
        assert!(!resumed);
        assert_eq!(
            workspace.session().unwrap().as_deref(),
            Some(thread_id),
            "{text:?}"
        );
    }
}

#[test]
fn a_file_system_that_lacks_something_is_told_from_one_that_fails() {
    let fake_codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let turn = |call, errno| {
        let workspace = Workspace::new(fake_codex).unwrap();
        let mut say = workspace.say(["--json", "hello"]);
        jail::forbid(&mut say, Forbidden { call, errno });
        let said = Said::by(&say.output().unwrap()).unwrap();
        (workspace.session().unwrap(), said)
    };
    // A network file system without a lock manager: two turns at once could not be told apart.
    for errno in [libc::ENOLCK, libc::EOPNOTSUPP] {
        let (kept, said) = turn(libc::SYS_flock, errno);
        let failure = said.failure().unwrap();
        assert_eq!(
            failure.kind,
            FailureKind::SessionUnreadable,
            "{errno}: {said:?}"
        );
        assert!(
            failure.message.contains("local locks") && !failure.message.contains("emove"),
            "{errno}: {failure:?}"
        );
        assert_eq!(kept, None);
    }
    // One that has no such thing as a sync: what was written is as durable as it can be there.
    let (kept, said) = turn(libc::SYS_fsync, libc::EINVAL);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!format!("{:?}", said.events).contains("Notice"), "{said:?}");
    assert_eq!(kept.as_deref(), said.start().map(|(id, _)| id));
    // A disk that fails is another matter. That is said.
    let (_, said) = turn(libc::SYS_fsync, libc::EIO);
    assert!(
        format!("{:?}", said.events).contains("Input/output error"),
        "{said:?}"
    );
}

#[test]
fn another_users_file_is_to_be_removed_by_nobody() {
    let test = "another_users_file_is_to_be_removed_by_nobody";
    let Some(workspace) = workspace_of_another_user() else {
        return tool::lacks(test, "only root can give a file to another user");
    };
    // Root in a user namespace of its own, where the other user is nobody: it may not do everything, unlike root.
    let run = |command: &Command| {
        let mut unshare = Command::new("unshare");
        let variables = command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        unshare
            .args(["--user", "--map-root-user"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(variables);
        unshare.output().unwrap()
    };
    let mut allowed = Command::new("unshare");
    allowed.args(["--user", "--map-root-user", "true"]);
    if !allowed.status().is_ok_and(|status| status.success()) {
        return tool::lacks(test, "user namespaces are not allowed here");
    }
    let said = Said::by(&run(&workspace.say(["--json", "hello"]))).unwrap();
    let failure = said.failure().unwrap();
    assert_eq!(failure.kind, FailureKind::SessionUnreadable, "{said:?}");
    let mut doctor = Command::new(program());
    doctor
        .args(["doctor", "--config"])
        .arg(workspace.config())
        .arg("--workspace")
        .arg(workspace.path())
        .env("XDG_STATE_HOME", workspace.state_home());
    let examined = String::from_utf8(run(&doctor).stdout).unwrap();
    let found = examined
        .lines()
        .find(|line| line.contains(" session: "))
        .unwrap();
    for told in [&failure.message, found] {
        assert!(
            told.contains("belongs to the user") && told.contains("run as that user"),
            "{told}"
        );
        assert!(!told.to_lowercase().contains("remove"), "{told}");
    }
}

/// A workspace that several users share, in which one has a conversation; None if this user can give nothing away.
fn workspace_of_another_user() -> Option<Workspace> {
    const OTHER: u32 = 1501;
    let (workspace, said) = turn(|_| ());
    assert_eq!(said.code, Some(0), "{said:?}");
    let file = workspace.path().join(SESSION_FILE);
    // What that user's hosts know is not here.
    fs::remove_dir_all(workspace.state_home()).unwrap();
    let given =
        chown(&file, Some(OTHER), None).and_then(|()| chown(workspace.path(), Some(OTHER), None));
    fs::set_permissions(workspace.path(), PermissionsExt::from_mode(0o777)).ok();
    given.is_ok().then_some(workspace)
}

/// A workspace on a disk of its own, in a mount namespace of its own, with the real codex: a fake one keeps its
/// record in the workspace.
struct SmallDisk {
    _model: MockModel,
    home: CodexHome,
    workspace: Workspace,
}

impl SmallDisk {
    fn new(codex: &RealCodex) -> Self {
        let model = MockModel::start_with(Default::default()).unwrap();
        let home = CodexHome::new(&model.base_url()).unwrap();
        let workspace = Workspace::new(&codex.path).unwrap();
        SmallDisk {
            _model: model,
            home,
            workspace,
        }
    }

    /// Runs a script of `sh`, in which `say` makes a turn; the turns' ends, in order.
    fn run(&self, script: &str) -> Vec<Said> {
        let outside = self.workspace.outside("said");
        fs::create_dir(&outside).unwrap();
        let prelude = r#"
            set -eu
            mount -t tmpfs -o size=256k none "$WORKSPACE"
            turns=0
            say() {
                turns=$((turns + 1))
                "$PROGRAM" say --json --workspace "$WORKSPACE" --config "$CONFIG" "${1-hello}" >"$SAID/$turns" || true
            }
            small() { mkdir -p "$1"; mount -t tmpfs -o size=64k none "$1"; chmod 700 "$1"; }
            fill_state() { dd if=/dev/zero of="$XDG_STATE_HOME/filler" bs=1k 2>/dev/null || true; }
            fill() { dd if=/dev/zero of="$WORKSPACE/filler" bs=1k 2>/dev/null || true; }
        "#;
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg(format!("{prelude}\n{script}"))
            .env("WORKSPACE", self.workspace.path())
            .env("PROGRAM", program())
            .env("CONFIG", self.workspace.config())
            .env("SAID", &outside)
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.workspace.state_home())
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut files: Vec<_> = fs::read_dir(&outside)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        // `cat` gives its output in the form that `say` gives it; its exit code says nothing.
        let read = |file| Said::by(&Command::new("cat").arg(file).output().unwrap()).unwrap();
        files.iter().map(read).collect()
    }
}

/// Whether this machine lets us mount.
fn can_mount(test: &str) -> bool {
    let tried = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "mount",
            "-t",
            "tmpfs",
            "none",
            "/mnt",
        ])
        .output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        tool::lacks(
            test,
            "this machine does not let us mount a small disk in a namespace of our own",
        );
    }
    can
}

#[test]
fn machine_code_on_a_disk_from_which_nothing_runs_is_used_all_the_same() {
    if !can_mount("machine_code_on_a_disk_from_which_nothing_runs_is_used_all_the_same") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let script = r#"
        set -eu
        # Where temporary files go, no machine code is kept.
        mount -t tmpfs -o noexec,mode=700 none /mnt
        export HOME=/mnt
        "$PROGRAM" models
        ls "$HOME/.cache/plexum-openai-provider"
        echo second >&2
        "$PROGRAM" models
    "#;
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .env("PROGRAM", program())
        .env("HOME", home.path())
        .env("PLEXUM_LOG", "warn,plexum_openai_provider::engine=debug")
        .env_remove("XDG_CACHE_HOME")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(".code"));
    // Else the disk lets what is on it run, and this shows nothing.
    let (_, second) = stderr.split_once("second\n").unwrap();
    assert!(second.contains("cannot be mapped, and is read"), "{second}");
    assert!(!second.contains("compiled again"), "{second}");
}

#[test]
fn a_full_disk_costs_a_conversation_only_where_nothing_at_all_can_be_kept() {
    if !can_mount("a_full_disk_costs_a_conversation_only_where_nothing_at_all_can_be_kept") {
        return;
    }
    for codex in real_codex!() {
        let is_told = |said: &Said, words: &str| {
            let events = format!("{:?}", said.events);
            assert!(events.contains(words), "{words}: {said:?}");
        };
        let goes_on = |said: &[Said]| {
            let thread = said[0].start().unwrap().0;
            for turn in said {
                assert_eq!(turn.failure(), None, "{turn:?}");
            }
            for turn in &said[1..] {
                assert_eq!(turn.start(), Some((thread, true)), "{turn:?}");
            }
        };
        // The workspace's is full, before the first turn or during one. The next turns know all the same.
        let clear = "rm \"$WORKSPACE/filler\"";
        let disk = SmallDisk::new(&codex);
        let said = disk.run(&format!("fill; say; {clear}; say; fill; say; {clear}; say"));
        goes_on(&said);
        is_told(&said[0], "No space left");
        is_told(&said[1], "was gone. It was written again");
        for turn in &said {
            assert!(turn.usage().0.is_some(), "{turn:?}");
        }
        // That of the state: the file knows.
        let disk = SmallDisk::new(&codex);
        let full = "small \"$XDG_STATE_HOME\"; fill_state; say; say; rm \"$XDG_STATE_HOME/filler\"; say; say";
        let said = disk.run(full);
        goes_on(&said);
        is_told(&said[0], "No space left");
        assert_eq!(said[1].usage().0, None, "what it had cost is not known");
        assert!(said[3].usage().0.is_some(), "{:?}", said[3]);
        // Both: with no id that can be kept, the conversation would be lost. It is not begun.
        let disk = SmallDisk::new(&codex);
        let said = disk.run(&format!(
            "small \"$XDG_STATE_HOME\"; fill_state; fill; say; {clear}; say"
        ));
        let failure = said[0].failure().unwrap();
        assert_eq!(failure.kind, FailureKind::Resources, "{failure:?}");
        assert!(
            format!("{failure:?}").contains("No space left"),
            "{failure:?}"
        );
        assert_eq!(said[1].failure(), None);
        let workspace = disk.workspace.path().to_string_lossy().into_owned();
        assert_eq!(processes_with(&workspace), Vec::<i32>::new());
    }
}

#[test]
fn on_a_read_only_disk_a_conversation_goes_on_and_begins() {
    if !can_mount("on_a_read_only_disk_a_conversation_goes_on_and_begins") {
        return;
    }
    for codex in real_codex!() {
        for script in [
            "say; mount -o remount,ro \"$WORKSPACE\"; say; say",
            "mount -o remount,ro \"$WORKSPACE\"; say; say",
        ] {
            let said = SmallDisk::new(&codex).run(script);
            let thread = said[0].start().unwrap().0;
            for turn in &said {
                assert_eq!(turn.failure(), None, "{turn:?}");
                assert!(turn.usage().0.is_some(), "{turn:?}");
            }
            for turn in &said[1..] {
                assert_eq!(turn.start(), Some((thread, true)), "{turn:?}");
            }
            let could_not = format!("{:?}", said.last()).contains("Read-only file system");
            assert_eq!(could_not, !script.starts_with("say"), "{said:?}");
        }
        // The file names the old thread for ever, and the one after it is not lost.
        let lost = "say; mount -o remount,ro \"$WORKSPACE\"; rm -rf \"$CODEX_HOME/sessions\"; say; say; say";
        let said = SmallDisk::new(&codex).run(lost);
        let (old, new) = (said[0].start().unwrap().0, said[1].start().unwrap().0);
        assert_ne!(old, new);
        for turn in &said[2..] {
            assert_eq!(turn.start(), Some((new, true)), "{turn:?}");
        }
    }
}
