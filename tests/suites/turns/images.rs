//! Images and schemas lie in a private folder for the time of a turn.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plexum_openai_provider::FailureKind;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::wait::{processes_with, wait_until};
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::json;

const PICTURE: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";

/// A workspace with an image, whose first turn waits until `go on` exists; and a `say` of that image and a schema.
fn paused() -> (Workspace, Command, PathBuf) {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let mut steps = vec![Step::wait_for_file("go on")];
    steps.extend(Step::turn("hi"));
    let workspace = Workspace::scripted(codex, [steps, Step::turn("hi").to_vec()]).unwrap();
    std::fs::write(workspace.path().join("a.gif"), PICTURE).unwrap();
    let messages = json!([{ "role": "user", "content": [
        { "type": "text", "text": "look" },
        { "type": "image", "source": { "type": "path", "path": "a.gif" } },
    ] }]);
    let (file, schema) = (
        workspace.outside("messages.json"),
        workspace.outside("schema.json"),
    );
    std::fs::write(&file, messages.to_string()).unwrap();
    std::fs::write(&schema, "{\"type\":\"object\"}").unwrap();
    let temporary = workspace.outside("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut say = workspace.say(["--json"]);
    say.env("TMPDIR", &temporary)
        .arg("--messages")
        .arg(file)
        .arg("--output-schema")
        .arg(schema)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    (workspace, say, temporary)
}

/// The folders and files in a folder, with their modes.
fn lying(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o7777;
        if path.is_dir() {
            found.extend(lying(&path));
        }
        found.push((path, mode));
    }
    found
}

#[test]
fn whatever_the_umask_they_are_for_this_user_only() {
    for umask in [0o000, 0o022, 0o777] {
        let (workspace, mut say, temporary) = paused();
        // Its own files must be usable.
        workspace
            .configure(&json!({ "binary": env!("CARGO_BIN_EXE_fake-codex") }))
            .unwrap();
        // SAFETY: only a system call is made between fork and exec.
        unsafe {
            say.pre_exec(move || {
                libc::umask(umask);
                Ok(())
            });
        }
        let turn = say.spawn().unwrap();
        // With a umask that takes everything, one is there for a moment before it has a mode.
        wait_until("the files lie there", || {
            let files = lying(&temporary);
            files.len() == 4 && files.iter().all(|(_, mode)| *mode != 0)
        });
        let modes: Vec<u32> = lying(&temporary).iter().map(|(_, mode)| *mode).collect();
        for (path, mode) in lying(&temporary) {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(
                mode,
                expected,
                "umask {umask:03o}: {} {modes:?}",
                path.display()
            );
        }
        std::fs::write(workspace.path().join("go on"), "").unwrap();
        let output = turn.wait_with_output().unwrap();
        // With a umask that takes everything, the session cannot be kept.
        if umask != 0o777 {
            assert!(output.status.success(), "{output:?}");
        }
        assert_eq!(lying(&temporary), []);
    }
}

#[test]
fn what_a_killed_host_left_is_gone_when_the_next_has_begun_a_turn() {
    let (workspace, mut say, temporary) = paused();
    let mut turn = say.spawn().unwrap();
    wait_until("the files lie there", || lying(&temporary).len() == 4);
    wait_until("codex runs", || {
        !workspace.calls().unwrap_or_default().is_empty()
    });
    // A turn that runs at the same time takes nothing away.
    let other = Workspace::new(Path::new(env!("CARGO_BIN_EXE_fake-codex"))).unwrap();
    let next = || {
        let mut say = other.say(["--json", "hello"]);
        Said::by(&say.env("TMPDIR", &temporary).output().unwrap()).unwrap()
    };
    assert_eq!(next().code, Some(0));
    assert_eq!(lying(&temporary).len(), 4);
    turn.kill().unwrap();
    turn.wait().unwrap();
    let name = workspace.path().to_string_lossy().into_owned();
    wait_until("its codex is gone", || processes_with(&name).is_empty());
    assert_eq!(lying(&temporary).len(), 4);
    assert_eq!(next().code, Some(0));
    assert_eq!(lying(&temporary), []);
}

#[test]
fn an_image_of_which_only_the_beginning_is_there_is_refused() {
    let (workspace, mut say, temporary) = paused();
    std::fs::write(workspace.path().join("a.gif"), &PICTURE[..25]).unwrap();
    let said = Said::by(&say.output().unwrap()).unwrap();
    let failure = said.failure().unwrap();
    assert_eq!(failure.kind, FailureKind::InvalidRequest, "{failure:?}");
    assert!(failure.message.contains("breaks off"), "{failure:?}");
    assert!(workspace.calls().unwrap().is_empty(), "codex was started");
    assert_eq!(lying(&temporary), []);
}
