//! An installation that is stopped half-way.

use super::home::{CONFIG, Home, PLUGIN, Tree};

const NONE: [&str; 0] = [];

/// At the call of this number of `mv`, ends the script that called it.
fn kill_at(home: &Home, number: usize, signal: &str) {
    let count = home.scratch.path().join("count");
    let count = count.to_str().unwrap();
    home.replace_tool(
        "mv",
        &format!(
            "echo >>'{count}'\nif [ \"$(cat '{count}' | while read -r _; do printf x; done)\" = {} ]; then kill -{signal} $PPID; exit 1; fi",
            "x".repeat(number)
        ),
    );
}

#[test]
fn stopped_while_it_writes_it_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let home = Home::new();
        home.replace_tool(
            "sync",
            &format!("case $2 in *.local/bin/*) kill -{signal} $PPID;; esac"),
        );
        let mut script = home.script();
        script.arg("--program").arg(home.program("stand-in"));
        let output = script.output().unwrap();
        assert!(!output.status.success());
        assert_eq!(home.tree(), Tree::new(), "{signal}: {output:?}");
        let left = std::fs::read_dir(home.scratch.path().join("temporary")).unwrap();
        assert_eq!(left.count(), 0, "{signal}");
    }
}

#[test]
fn killed_while_it_puts_things_in_place_it_can_be_run_again_or_undone() {
    let expected = Home::new();
    expected.install(NONE);
    let expected = expected.tree();
    let mut stopped = 0;
    for number in 1.. {
        let home = Home::new();
        kill_at(&home, number, "KILL");
        let mut script = home.script();
        script.arg("--program").arg(home.program("stand-in"));
        let output = script.output().unwrap();
        if output.status.success() {
            break;
        }
        stopped += 1;
        home.restore_tool("mv");
        if number % 2 == 0 {
            let ran = home.install(NONE);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            let mut names: Vec<_> = home.tree().into_keys().collect();
            // What a kill leaves is hidden, and goes with the rest.
            names.retain(|name| !name.to_str().unwrap().contains("/.plexum-openai-provider."));
            assert_eq!(names, expected.keys().cloned().collect::<Vec<_>>());
        }
        let mut script = home.script();
        let ran = home.run(script.args(["--uninstall", "--purge"]));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let mut left = home.tree();
        if number == 1 {
            // It had no record yet.
            left.retain(|path, (mode, _)| {
                *mode & 0o170_000 != 0o040_000
                    && !path.to_str().unwrap().contains("/.plexum-openai-provider.")
            });
        }
        assert_eq!(left, Tree::new(), "killed at rename {number}");
    }
    // The record twice, the configuration, and more than a dozen files.
    assert!(stopped > 15, "{stopped}");
    assert!(expected.contains_key(CONFIG.as_ref()) && expected.contains_key(PLUGIN.as_ref()));
}
