//! What may be wrong with the session file, or with the disk that it is on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::{
    Event, FailureKind, NoticeKind, ReplacementReason, SESSION_FILE, STATE_FILE,
};
use plexum_openai_provider_tests::codex_home::CodexHome;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::mock_model::MockModel;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::wait::processes_with;
use plexum_openai_provider_tests::workspace::{Said, Workspace, program};

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
fn what_is_not_a_small_plain_file_is_neither_read_nor_replaced() {
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
        let failure = said.failure().unwrap();
        assert_eq!(failure.kind, FailureKind::SessionUnreadable, "{said:?}");
        let message = format!("{} {:?}", failure.message, failure.detail);
        for part in [named, SESSION_FILE, "remove it"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(
            workspace.calls().unwrap().len(),
            0,
            "codex was started: {message}"
        );
        let left = fs::symlink_metadata(workspace.path().join(SESSION_FILE)).unwrap();
        let made = made.unwrap();
        assert_eq!(
            (left.file_type(), left.len()),
            (made.file_type(), made.len()),
            "{message}"
        );
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
        mount -t tmpfs -o noexec none "$HOME"
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
fn a_full_disk_stops_a_new_conversation_and_keeps_an_old_one() {
    if !can_mount("a_full_disk_stops_a_new_conversation_and_keeps_an_old_one") {
        return;
    }
    for codex in real_codex!() {
        // The totals of the turn before are removed as soon as the model acts. Without them, the file still keeps the
        // room that new ones need.
        let fill = format!(
            "until [ -e {STATE_FILE} ] && ! grep -q totals {STATE_FILE}; do sleep 0.01; done; dd if=/dev/zero of=more bs=1k"
        );
        let disk = SmallDisk::new(&codex);
        let said = disk.run(&format!(
            "say; fill; say 'mock:shell={fill}'; rm \"$WORKSPACE/filler\" \"$WORKSPACE/more\"; say"
        ));
        let thread = said[0].start().unwrap().0;
        for turn in &said[1..] {
            assert_eq!(
                (turn.failure(), turn.start()),
                (None, Some((thread, true))),
                "{turn:?}"
            );
        }
        for turn in &said {
            assert!(turn.usage().0.is_some(), "{turn:?}");
        }

        // With no id that can be kept, the conversation would be lost: it is not begun.
        let disk = SmallDisk::new(&codex);
        let said = disk.run("fill; say; rm \"$WORKSPACE/filler\"; say");
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
fn a_read_only_disk_is_named() {
    if !can_mount("a_read_only_disk_is_named") {
        return;
    }
    for codex in real_codex!() {
        let said = SmallDisk::new(&codex).run("say; mount -o remount,ro \"$WORKSPACE\"; say");
        assert_eq!(said[0].failure(), None);
        let failure = said[1].failure().unwrap();
        assert_eq!(failure.kind, FailureKind::SessionUnreadable, "{failure:?}");
        assert!(
            format!("{failure:?}").contains("Read-only file system"),
            "{failure:?}"
        );
    }
}
