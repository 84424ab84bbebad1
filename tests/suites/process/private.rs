//! What codex's tools, which have the host's user, do not get from the host: its environment, its memory, and the files
//! that it has open.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

use plexum_openai_provider_tests::attack::supervisor_of;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::tool::{current_test, skip};
use plexum_openai_provider_tests::wait::wait_until;
use plexum_openai_provider_tests::workspace::{Said, Workspace, program};

/// A user without any rights.
const NOBODY: u32 = 65534;

fn workspace() -> Workspace {
    let steps = vec![
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::touch("ready"),
        Step::wait_for_file("go"),
        Step::message("done"),
        Step::TurnCompleted,
    ];
    Workspace::scripted(Path::new(env!("CARGO_BIN_EXE_fake-codex")), [steps]).unwrap()
}

/// The same user for all of it: root may read everything, so root becomes nobody.
fn as_common_user(command: &mut Command) -> &mut Command {
    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn until_ready(workspace: &Workspace) -> i32 {
    let ready = workspace.path().join("ready");
    wait_until("codex is at work", || ready.exists());
    workspace.calls().unwrap()[0].pid
}

fn said(workspace: &Workspace, say: Child) -> Said {
    std::fs::write(workspace.path().join("go"), "").unwrap();
    Said::by(&say.wait_with_output().unwrap()).unwrap()
}

#[test]
fn the_environment_of_the_host_is_not_for_tools() {
    let workspace = workspace();
    let cache = tempfile::tempdir().unwrap();
    let outside = workspace.config();
    let owned = [workspace.path(), outside.parent().unwrap(), cache.path()];
    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } == 0 {
        for folder in owned {
            chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let mut enter = Command::new("test");
    enter.arg("-x").arg(program());
    if !as_common_user(&mut enter).status().unwrap().success() {
        let reason = "root runs the tests in a folder that no other user may enter, such as /root";
        skip(&current_test(), reason);
        return;
    }
    let mut say = workspace.say(["--json", "hello"]);
    say.env("XDG_CACHE_HOME", cache.path())
        .env("OTHER_PROVIDERS_KEY", "secret");
    let say = as_common_user(&mut say).spawn().unwrap();
    let codex = until_ready(&workspace);
    let read = |pid: i32| {
        let mut cat = Command::new("cat");
        cat.arg(format!("/proc/{pid}/environ"));
        as_common_user(&mut cat).output().unwrap()
    };
    // What is not protected can be read, so the test means something.
    assert!(read(codex).status.success());
    for pid in [say.id().cast_signed(), supervisor_of(codex).unwrap()] {
        let output = read(pid);
        assert!(!output.status.success() && output.stdout.is_empty());
    }
    let said = said(&workspace, say);
    assert_eq!(said.text(), "done", "{said:?}");
}

#[test]
fn what_the_host_has_open_is_closed_in_the_supervisor() {
    let workspace = workspace();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = OwnedFd::from(writer);
    let number = writer.as_raw_fd();
    let mut say = workspace.say(["--json", "hello"]);
    // SAFETY: one system call, which takes numbers: the descriptor stays open in the new program.
    unsafe {
        say.pre_exec(move || match libc::fcntl(number, libc::F_SETFD, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    };
    let mut say = say.spawn().unwrap();
    drop(writer);
    let supervisor = supervisor_of(until_ready(&workspace)).unwrap();
    let inode = |path: String| std::fs::read_link(path).unwrap();
    let pipe = inode(format!("/proc/self/fd/{}", reader.as_raw_fd()));
    for entry in std::fs::read_dir(format!("/proc/{supervisor}/fd")).unwrap() {
        let open = std::fs::read_link(entry.unwrap().path()).unwrap();
        assert_ne!(open, pipe);
    }
    // The runtime's parent waits for the end of this pipe, and gets it when the host is gone.
    say.kill().unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    say.wait().unwrap();
}
