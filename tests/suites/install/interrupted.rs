//! An installation that is stopped half-way.

use std::path::PathBuf;
use std::process::Stdio;

use super::home::{Home, Tree, tree};

const NONE: [&str; 0] = [];

/// At the call of this number of `mv`, kills the script that called it.
fn kill_at_rename(home: &Home, number: usize) {
    let count = home.scratch.path().join("count");
    let count = count.to_str().unwrap();
    home.replace_tool(
        "mv",
        &format!(
            "printf x >>'{count}'\nif [ \"$(cat '{count}')\" = {} ]; then kill -KILL $PPID; exit 1; fi",
            "x".repeat(number)
        ),
    );
}

#[test]
fn stopped_while_it_writes_it_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let home = Home::new();
        // The program comes last: everything else lies beside its place already.
        home.replace_tool(
            "sync",
            &format!("case $2 in *.local/bin/*) kill -{signal} 0; esac"),
        );
        let mut script = home.script();
        script.arg("--program").arg(home.program("stand-in"));
        assert!(!home.run_interrupted(&mut script), "{signal}");
        assert_eq!(home.tree(), Tree::new(), "{signal}");
        assert_eq!(tree(&home.temporary), Tree::new(), "{signal}");
    }
}

#[test]
fn killed_while_it_puts_things_in_place_it_can_be_run_again_or_undone() {
    let names = |tree: Tree| -> Vec<PathBuf> {
        // What a kill leaves is hidden, and goes when the rest goes.
        let hidden = |path: &PathBuf| path.to_string_lossy().contains("/.plexum-openai-provider.");
        tree.into_keys().filter(|path| !hidden(path)).collect()
    };
    let expected = Home::new();
    expected.install(NONE);
    let expected = names(expected.tree());
    let mut kills = 0;
    // The first rename is that of the record. Before it, nobody can know which folders are new.
    for number in (2..).step_by(5) {
        let home = Home::new();
        kill_at_rename(&home, number);
        let mut script = home.script();
        script.arg("--program").arg(home.program("stand-in"));
        if home.run_interrupted(&mut script) {
            break;
        }
        kills += 1;
        home.clear_temporary();
        home.restore_tool("mv");
        if kills % 2 == 0 {
            let ran = home.install(NONE);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert_eq!(names(home.tree()), expected, "killed at rename {number}");
        }
        let mut script = home.script();
        let ran = home.run(script.args(["--uninstall", "--purge"]));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(home.tree(), Tree::new(), "killed at rename {number}");
    }
    assert!(kills > 3, "{kills}");
}

/// At the call of this number of a tool, kills the script with all that it runs.
fn kill_at(home: &Home, tool: &str, number: usize) {
    let count = home.scratch.path().join("count");
    let _ = std::fs::remove_file(&count);
    let count = count.to_str().unwrap();
    home.replace_tool(
        tool,
        &format!(
            "printf x >>'{count}'\nif [ \"$(cat '{count}')\" = {} ]; then kill -KILL 0; fi",
            "x".repeat(number)
        ),
    );
}

#[test]
fn killed_at_any_step_the_first_installation_leaves_nothing_that_uninstalling_does_not_remove() {
    let mut kills = 0;
    for (tool, numbers) in [
        ("mkdir", 1..40),
        ("mktemp", 1..10),
        ("chmod", 1..6),
        ("cp", 1..4),
        ("cp", 25..27),
        ("sync", 1..5),
        ("mv", 1..5),
        ("rm", 1..3),
    ] {
        for number in numbers {
            let home = Home::new();
            kill_at(&home, tool, number);
            let mut script = home.script();
            script.arg("--program").arg(home.quick_program("stand-in"));
            let done = home.run_interrupted(&mut script);
            home.clear_temporary();
            home.restore_tool(tool);
            let mut script = home.script();
            let ran = home.run(script.args(["--uninstall", "--purge"]));
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert_eq!(home.tree(), Tree::new(), "killed at {tool} {number}");
            if done {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 25, "{kills}");
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
        assert!(home.path.join(super::home::PROGRAM).is_file());
        let mut script = home.script();
        home.run(script.args(["--uninstall", "--purge"]));
        assert_eq!(home.tree(), Tree::new());
    }
}

#[test]
fn while_one_is_at_work_no_other_installs_or_removes() {
    let home = Home::new();
    home.install(NONE);
    let before = home.tree();
    // A process that lives: this one.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let started = fields.split(' ').nth(19).unwrap();
    let own = std::process::id();
    let lock = |started: &str| {
        let name = format!(
            "{}/.plexum-openai-provider.lock.{started}.{own}",
            super::home::PLUGIN
        );
        home.write(&name, "");
    };
    lock(started);
    for (arguments, nothing) in [
        (&[] as &[&str], "Nothing was installed"),
        (&["--uninstall"], "Nothing was removed"),
    ] {
        let mut script = home.script();
        script
            .args(arguments)
            .arg("--program")
            .arg(home.quick_program("x"));
        let ran = home.run(&mut script);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stderr.contains(nothing) && ran.stderr.contains(&own.to_string()),
            "{ran:?}"
        );
    }
    let mut script = home.script();
    home.run(script.args(["--uninstall", "--dry-run"]));
    let mut after = home.tree();
    after.retain(|path, _| !path.to_string_lossy().contains(".lock."));
    assert_eq!(after, before);
    // Another process had this number before.
    std::fs::remove_dir_all(home.path.join(super::home::PLUGIN)).unwrap();
    lock("1");
    let mut script = home.script();
    let ran = home.run(script.arg("--program").arg(home.quick_program("x")));
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
