//! An installation that is stopped half-way.

use std::path::PathBuf;

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
