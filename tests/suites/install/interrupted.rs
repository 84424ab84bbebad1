//! An installation that is stopped half-way. Each single step of it is a matter of the program's own tests.

use std::fs::{File, OpenOptions};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use plexum_openai_provider_tests::wait::wait_until;

use super::home::{Home, PLUGIN, PROGRAM, Tree};

const NONE: [&str; 0] = [];

/// A program whose digest takes so long that the installation is at work meanwhile.
fn large_program(home: &Home) -> PathBuf {
    let program = home.quick_program("large");
    let file = OpenOptions::new().write(true).open(&program).unwrap();
    // A shell does not read beyond the `exec` at the end of its script.
    file.set_len(4 << 30).unwrap();
    program
}

/// An installation that has made its folder and is at work.
fn at_work(home: &Home) -> Child {
    let mut script = home.script();
    script.arg("--program").arg(large_program(home));
    script.stdout(Stdio::null()).stderr(Stdio::null());
    // The script becomes the program.
    let child = script.process_group(0).spawn().unwrap();
    let record = home.path.join(PLUGIN).join(".installed");
    wait_until("the installation is at work", || record.exists());
    child
}

fn stop(child: &mut Child, signal: i32) -> Option<i32> {
    // SAFETY: takes numbers only. The child was not waited for, so the number is its own.
    unsafe { libc::kill(child.id().cast_signed(), signal) };
    let status = child.wait().unwrap();
    status
        .code()
        .or_else(|| status.signal().map(|signal| -signal))
}

#[test]
fn stopped_before_anything_has_changed_it_leaves_nothing_behind() {
    for (signal, code) in [
        (libc::SIGINT, 130),
        (libc::SIGTERM, 143),
        (libc::SIGHUP, 129),
    ] {
        let home = Home::new();
        let mut child = at_work(&home);
        assert_eq!(stop(&mut child, signal), Some(code));
        assert_eq!(home.tree(), Tree::new(), "{signal}");
    }
}

#[test]
fn killed_it_can_be_undone() {
    let home = Home::new();
    let mut child = at_work(&home);
    assert_eq!(stop(&mut child, libc::SIGKILL), Some(-9));
    assert_ne!(home.tree(), Tree::new());
    let mut script = home.script();
    let program = home.quick_program("stand-in");
    script.args(["--uninstall", "--purge", "--program"]);
    let ran = home.run(script.arg(program));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(home.tree(), Tree::new());
}

#[test]
fn while_one_is_at_work_no_other_installs_or_removes() {
    let home = Home::new();
    home.install(NONE);
    let before = home.tree();
    let folder = File::open(home.path.join(PLUGIN)).unwrap();
    folder.lock().unwrap();
    let program = home.quick_program("x");
    for (arguments, nothing) in [
        (&[] as &[&str], "Nothing was installed"),
        (&["--uninstall"], "Nothing was removed"),
    ] {
        let mut script = home.script();
        script.args(arguments).arg("--program").arg(&program);
        let ran = home.run(&mut script);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stderr.contains(nothing) && ran.stderr.contains("is at work on"),
            "{ran:?}"
        );
    }
    let mut script = home.script();
    let ran = home.run(script.args(["--uninstall", "--dry-run"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(home.tree(), before);
}

#[test]
fn of_two_at_once_at_least_one_installs_and_the_other_says_what_it_waits_for() {
    for _ in 0..3 {
        let home = Home::new();
        let program = home.quick_program("stand-in");
        let start = || {
            let mut script = home.script();
            script.arg("--program").arg(&program);
            script.stdout(Stdio::piped()).stderr(Stdio::piped());
            script.spawn().unwrap()
        };
        let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
        let done = both.iter().filter(|output| output.status.success()).count();
        assert!(done >= 1, "{both:?}");
        for output in both.iter().filter(|output| !output.status.success()) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.contains("is at work on") && said.contains("Nothing was installed"),
                "{said}"
            );
        }
        assert!(home.path.join(PROGRAM).is_file());
        let mut script = home.script();
        home.run(script.args(["--uninstall", "--purge"]));
        assert_eq!(home.tree(), Tree::new());
    }
}
