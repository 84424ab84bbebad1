//! Each kind of place, in whole turns.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::{
    Event, FailureKind, NoticeKind, ReplacementReason, SESSION_FILE, SessionKey, SessionStore as _,
};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::wait::wait_until;
use plexum_openai_provider_tests::workspace::{Said, Workspace, program};
use serde_json::json;
use tempfile::TempDir;

const UNKNOWN: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

fn workspace() -> Workspace {
    Workspace::new(Path::new(env!("CARGO_BIN_EXE_fake-codex"))).unwrap()
}

/// A turn in another folder, of the same user.
fn turn_in(workspace: &Workspace, folder: &Path) -> Said {
    let mut say = Command::new(program());
    say.args(["say", "--json", "--config"])
        .arg(workspace.config())
        .arg("--workspace")
        .arg(folder)
        .arg("hello")
        .env("XDG_STATE_HOME", workspace.state_home());
    Said::by(&say.output().unwrap()).unwrap()
}

fn thread(said: &Said) -> (String, bool) {
    let (thread_id, resumed) = said.start().unwrap_or_else(|| panic!("{said:?}"));
    (thread_id.to_owned(), resumed)
}

/// The texts of its warnings.
fn warnings(said: &Said) -> Vec<&str> {
    let warnings = said.events.iter().filter_map(|event| match event {
        Event::Notice {
            kind: NoticeKind::Warning,
            message,
            ..
        } => Some(message.as_str()),
        _ => None,
    });
    warnings.collect()
}

fn belongs_elsewhere(said: &Said) -> bool {
    said.events.iter().any(|event| {
        matches!(
            event,
            Event::Notice {
                kind: NoticeKind::SessionReplaced {
                    reason: ReplacementReason::BelongsElsewhere,
                    ..
                },
                ..
            }
        )
    })
}

fn run(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_copy_a_clone_and_a_worktree_have_a_conversation_of_their_own() {
    let workspace = workspace();
    let above = TempDir::new().unwrap();
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@b"];
        run(workspace.path(), "git", &[&who[..], args].concat())
    };
    git(&["init", "-q"]);
    let first = workspace.turn(None, "hello").unwrap();
    // An agent that commits whatever there is, with force.
    git(&["add", "--force", "."]);
    git(&["commit", "-q", "-m", "all"]);
    let place = |name: &str| above.path().join(name).to_string_lossy().into_owned();
    git(&["worktree", "add", "-q", &place("worktree")]);
    git(&["clone", "-q", ".", &place("clone")]);
    run(workspace.path(), "cp", &["-a", ".", &place("copy")]);
    let mut threads = vec![thread(&first).0];
    for name in ["worktree", "clone", "copy"] {
        let folder = above.path().join(name);
        let said = turn_in(&workspace, &folder);
        assert!(belongs_elsewhere(&said), "{name}: {said:?}");
        let (id, resumed) = thread(&said);
        assert!(!resumed && !threads.contains(&id), "{name}: {said:?}");
        let again = turn_in(&workspace, &folder);
        assert_eq!(thread(&again), (id.clone(), true), "{name}");
        assert_eq!(warnings(&again), Vec::<&str>::new(), "{name}");
        threads.push(id);
    }
    let again = workspace.turn(None, "hello").unwrap();
    assert_eq!(thread(&again), (threads[0].clone(), true));
    assert_eq!(warnings(&again), Vec::<&str>::new());
}

#[test]
fn git_sees_nothing_of_a_turn() {
    let workspace = workspace();
    run(workspace.path(), "git", &["init", "-q"]);
    workspace.turn(None, "hello").unwrap();
    let seen = run(
        workspace.path(),
        "git",
        &["status", "--porcelain", "--untracked-files=all"],
    );
    // The fake keeps its record there.
    let ours: Vec<_> = seen
        .lines()
        .filter(|line| line.contains("plexum"))
        .collect();
    assert_eq!(ours, Vec::<&str>::new());
    assert_eq!(
        fs::read_dir(workspace.path())
            .unwrap()
            .filter(|file| {
                let name = file.as_ref().unwrap().file_name();
                name.to_string_lossy().contains("plexum")
            })
            .count(),
        1,
        "the session file alone lies in the workspace"
    );
}

#[test]
fn a_moved_workspace_goes_on_without_a_word_and_so_does_a_linked_one() {
    let workspace = workspace();
    let above = TempDir::new().unwrap();
    let (here, away, link) = (
        above.path().join("here"),
        above.path().join("away"),
        above.path().join("link"),
    );
    fs::create_dir(&here).unwrap();
    let first = thread(&turn_in(&workspace, &here)).0;
    fs::rename(&here, &away).unwrap();
    symlink(&away, &link).unwrap();
    for folder in [&away, &link, &away] {
        let said = turn_in(&workspace, folder);
        assert_eq!(thread(&said), (first.clone(), true));
        assert_eq!(warnings(&said), Vec::<&str>::new());
    }
    // What is made anew in the old place has nothing to do with it.
    fs::create_dir(&here).unwrap();
    let said = turn_in(&workspace, &here);
    assert!(!thread(&said).1 && warnings(&said).is_empty(), "{said:?}");
}

#[test]
fn a_folder_that_is_made_again_begins_anew() {
    let workspace = workspace();
    let above = TempDir::new().unwrap();
    let here = above.path().join("here");
    let mut seen = Vec::new();
    for _ in 0..5 {
        fs::create_dir(&here).unwrap();
        let said = turn_in(&workspace, &here);
        let (id, resumed) = thread(&said);
        assert!(!resumed && !seen.contains(&id), "{said:?}");
        assert_eq!(warnings(&said), Vec::<&str>::new());
        seen.push(id);
        fs::remove_dir_all(&here).unwrap();
    }
}

#[test]
fn a_session_file_that_is_gone_is_written_again_and_that_is_said() {
    let workspace = workspace();
    let first = thread(&workspace.turn(None, "hello").unwrap()).0;
    fs::remove_file(workspace.path().join(SESSION_FILE)).unwrap();
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(thread(&said), (first.clone(), true));
    assert!(warnings(&said)[0].contains("was gone"), "{said:?}");
    assert!(said.usage().0.is_some());
    assert_eq!(workspace.session().unwrap(), Some(first));
}

#[test]
fn without_what_is_known_outside_the_file_is_believed() {
    let workspace = workspace();
    let first = thread(&workspace.turn(None, "hello").unwrap()).0;
    // Another machine, with the same volume.
    fs::remove_dir_all(workspace.state_home()).unwrap();
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(thread(&said), (first, true));
    assert_eq!(warnings(&said), Vec::<&str>::new());
    assert_eq!(said.usage().0, None, "what it had cost is not known");
    assert!(workspace.turn(None, "hello").unwrap().usage().0.is_some());
}

#[test]
fn an_id_that_the_workspace_does_not_know_waits_for_a_person() {
    let workspace = workspace();
    let own = thread(&workspace.turn(None, "hello").unwrap()).0;
    let file = workspace.path().join(SESSION_FILE);
    fs::write(&file, UNKNOWN).unwrap();
    let (shown, code) = workspace.session_command(&["show"]);
    assert!(
        shown.contains(&own) && shown.contains("session adopt"),
        "{shown}"
    );
    assert_eq!(code, Some(0));
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(thread(&said), (own.clone(), true));
    assert!(
        warnings(&said)[0].contains(&format!("session adopt {UNKNOWN}")),
        "{said:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), own);

    assert_eq!(workspace.session_command(&["adopt", UNKNOWN]).1, Some(0));
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(thread(&said), (UNKNOWN.to_owned(), true));
    assert_eq!(warnings(&said), Vec::<&str>::new());
    // One of its own needs nobody.
    fs::write(&file, &own).unwrap();
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(thread(&said), (own.clone(), true));
    fs::remove_file(&file).unwrap();
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(
        thread(&said),
        (own, true),
        "the one before it has come back"
    );

    let (refused, code) = workspace.session_command(&["adopt", "--last"]);
    assert!(code != Some(0), "{refused}");
    let (refused, code) = workspace.session_command(&["adopt", "last"]);
    assert!(
        code == Some(2) && refused.contains("not a thread id"),
        "{refused}"
    );
}

#[test]
fn what_was_set_aside_and_put_back_is_as_before() {
    let workspace = workspace();
    let first = thread(&workspace.turn(None, "hello").unwrap()).0;
    let file = workspace.path().join(SESSION_FILE);
    assert_eq!(workspace.session_command(&["reset"]).1, Some(0));
    fs::rename(workspace.path().join(format!("{SESSION_FILE}.bad")), &file).unwrap();
    let said = workspace.turn(None, "hello").unwrap();
    assert_eq!(thread(&said), (first.clone(), true));
    assert!(said.usage().0.is_some(), "{said:?}");
    fs::remove_file(&file).unwrap();
    assert_eq!(
        thread(&workspace.turn(None, "hello").unwrap()),
        (first, true)
    );
}

#[test]
fn an_adopted_thread_is_gone_where_it_was() {
    let (one, other) = (workspace(), TempDir::new().unwrap());
    let theirs = thread(&turn_in(&one, other.path())).0;
    let (said, code) = one.session_command(&["adopt", &theirs]);
    assert!(said.contains(other.path().to_str().unwrap()), "{said}");
    assert_eq!(code, Some(0));
    let here = one.turn(None, "hello").unwrap();
    assert_eq!(thread(&here), (theirs, true));
    let there = turn_in(&one, other.path());
    assert!(belongs_elsewhere(&there), "{there:?}");
    assert!(!thread(&there).1);
}

#[test]
fn an_adopted_thread_is_one_places_only_even_if_it_is_forgotten_whose_it_is() {
    let (one, other) = (workspace(), TempDir::new().unwrap());
    let theirs = thread(&turn_in(&one, other.path())).0;
    assert_eq!(one.session_command(&["adopt", &theirs]).1, Some(0));
    // A crash may lose the one, and `git clean` the others.
    fs::remove_file(one.thread_file(&theirs)).unwrap();
    for folder in [one.path(), other.path()] {
        fs::remove_file(folder.join(SESSION_FILE)).unwrap();
    }
    // Two turns at the same time: neither has saved anything when the other begins.
    let store = one.sessions();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let loaded = |folder: &Path| {
        let key = SessionKey::of_workspace(folder);
        runtime.block_on(store.acquire(&key)).unwrap().loaded
    };
    let (here, there) = (loaded(one.path()), loaded(other.path()));
    assert_eq!(here.entry.unwrap().thread_id, theirs);
    assert_eq!(there.entry, None);
}

#[test]
fn another_workspaces_thread_is_not_resumed_and_its_words_stay_there() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let other = TempDir::new().unwrap();
        agent.turn("The secret is a hedgehog.").unwrap();
        let planted = agent.workspace.session().unwrap().unwrap();
        let turn = |prompt: &str| {
            let mut say = Command::new(program());
            say.args(["say", "--json", "--config"])
                .arg(agent.workspace.config())
                .arg("--workspace")
                .arg(other.path())
                .arg(prompt)
                .env("XDG_STATE_HOME", agent.workspace.state_home())
                .env("CODEX_HOME", agent.home.path())
                .env("HOME", agent.home.path());
            Said::by(&say.output().unwrap()).unwrap()
        };
        for has_own in [false, true] {
            fs::write(other.path().join(SESSION_FILE), &planted).unwrap();
            let said = turn("hello");
            let (id, resumed) = thread(&said);
            assert_eq!((id == planted, resumed), (false, has_own), "{said:?}");
            assert_eq!(belongs_elsewhere(&said), !has_own, "{said:?}");
            assert!(!warnings(&said).is_empty(), "{said:?}");
            let asked = agent.model.requests();
            let last = format!("{:?}", asked.last().unwrap());
            assert!(!last.contains("hedgehog"), "{last}");
        }
    }
}

#[test]
fn what_somebody_else_has_used_is_not_counted() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let first = agent.turn("one").unwrap();
        let cost = first.usage().0;
        assert!(cost.is_some());
        let id = agent.workspace.session().unwrap().unwrap();
        let by_hand = codex
            .command(&agent.home, agent.workspace.path())
            .args(["exec", "resume", &id, "--skip-git-repo-check", "by hand"])
            .output()
            .unwrap();
        assert!(by_hand.status.success(), "{by_hand:?}");
        let second = agent.turn("two").unwrap();
        assert_eq!(thread(&second), (id, true));
        assert!(matches!(second.usage(), (None, Some(_))), "{second:?}");
        assert_eq!(agent.turn("three").unwrap().usage().0, cost);
        assert_eq!(agent.turn("four").unwrap().usage().0, cost);
    }
}

#[test]
fn obstacles_cost_a_notice_and_not_the_conversation() {
    let workspace = workspace();
    let first = thread(&workspace.turn(None, "hello").unwrap()).0;
    let file = workspace.path().join(SESSION_FILE);
    let temporary = workspace.path().join(format!("{SESSION_FILE}.tmp"));
    type Make = fn(&Path);
    let folder: Make = |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
    };
    let obstacles: [Make; 5] = [
        folder,
        |path| symlink("/etc/passwd", path).unwrap(),
        |path| symlink("/nowhere/at/all", path).unwrap(),
        |path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        },
        |path| fs::write(path, [b'x'; 5000]).unwrap(),
    ];
    for make in obstacles {
        for both in [false, true] {
            fs::remove_file(&file).unwrap();
            make(&file);
            if both {
                make(&temporary);
            }
            let said = workspace.turn(None, "hello").unwrap();
            assert_eq!(thread(&said), (first.clone(), true), "{said:?}");
            assert!(warnings(&said)[0].contains(SESSION_FILE), "{said:?}");
            assert_eq!(fs::read_to_string(&file).unwrap(), first);
            let said = workspace.turn(None, "hello").unwrap();
            assert_eq!(warnings(&said), Vec::<&str>::new());
        }
    }
}

#[test]
fn obstacles_in_the_state_do_not_cost_the_conversation_either() {
    let (workspace, name) = (workspace(), Some("a name"));
    let turn = || {
        let name = name.into_iter().flat_map(|name| ["--session", name]);
        let args = ["--json"].into_iter().chain(name).chain(["--", "hello"]);
        Said::by(&workspace.say(args).output().unwrap()).unwrap()
    };
    let first = thread(&turn()).0;
    let state = workspace.state_home().join("plexum-openai-provider");
    let folders = ["threads", "workspaces", "locks"].map(|folder| state.join(folder));
    let within = folders.iter().flat_map(|folder| {
        let entries = folder.read_dir().unwrap();
        entries.map(|entry| entry.unwrap().path())
    });
    let ours: Vec<_> = within
        .chain([state.join("claims.lock")])
        .chain(folders.clone())
        .collect();
    assert_eq!(ours.len(), 7, "{ours:?}");
    let away = workspace.outside("away");
    std::fs::write(&away, "untouched").unwrap();
    for path in ours {
        for kind in ["folder", "link", "fifo"] {
            if kind == "folder" && folders.contains(&path) {
                continue;
            }
            std::fs::rename(&path, workspace.outside("before")).unwrap();
            match kind {
                "folder" => std::fs::create_dir_all(path.join("inside")).unwrap(),
                "link" => std::os::unix::fs::symlink(&away, &path).unwrap(),
                _ => drop(run(&state, "mkfifo", &[path.to_str().unwrap()])),
            }
            let said = turn();
            assert_eq!(said.code, Some(0), "{kind} at {path:?}: {said:?}");
            assert_eq!(thread(&said), (first.clone(), true), "{kind} at {path:?}");
            let before = workspace.outside("before");
            match before.is_dir() {
                true => std::fs::remove_dir_all(before).unwrap(),
                false => std::fs::remove_file(before).unwrap(),
            }
        }
    }
    assert_eq!(std::fs::read_to_string(away).unwrap(), "untouched");
}

#[test]
fn the_agent_cannot_take_the_lock_away_and_no_other_spelling_goes_round_it() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let pause = vec![Step::ThreadStarted, Step::TurnStarted, Step::Forever];
    let workspace = Workspace::scripted(codex, [pause]).unwrap();
    workspace
        .configure(&json!({ "binary": codex, "limits": { "busy_seconds": 1 } }))
        .unwrap();
    let first = workspace.say(["--json", "hello"]).spawn().unwrap();
    wait_until("the conversation is kept", || {
        workspace.session().unwrap().is_some()
    });
    for file in fs::read_dir(workspace.path()).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().contains("plexum") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    let link = workspace.outside("link");
    symlink(workspace.path(), &link).unwrap();
    for spelling in [
        workspace.path(),
        &link,
        &workspace
            .path()
            .join("../")
            .join(workspace.path().file_name().unwrap()),
    ] {
        let said = turn_in(&workspace, spelling);
        assert_eq!(
            said.failure_kind(),
            Some(FailureKind::SessionBusy),
            "{said:?}"
        );
    }
    assert_eq!(workspace.calls().unwrap().len(), 1);
    // SAFETY: `kill` takes plain numbers and touches no memory; the test started this process.
    unsafe { libc::kill(first.id().cast_signed(), libc::SIGINT) };
    first.wait_with_output().unwrap();
}

#[test]
fn what_takes_the_workspaces_place_in_the_middle_of_a_turn_gets_nothing() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let above = TempDir::new().unwrap();
    let (here, away, victim) = (
        above.path().join("here"),
        above.path().join("away"),
        above.path().join("victim"),
    );
    for folder in [&here, &victim] {
        fs::create_dir(folder).unwrap();
    }
    let workspace = Workspace::new(codex).unwrap();
    let swap = format!(
        "mv {here} {away} && ln -s {victim} {here}",
        here = here.display(),
        away = away.display(),
        victim = victim.display()
    );
    // A codex whose tool does it before the thread is named.
    let script = workspace.outside("codex");
    let events = format!(
        r#"#!/bin/sh
{swap}
echo '{{"type":"thread.started","thread_id":"{UNKNOWN}"}}'
echo '{{"type":"turn.started"}}'
echo '{{"type":"turn.completed","usage":{{"input_tokens":1,"output_tokens":1}}}}'
"#
    );
    fs::write(&script, events).unwrap();
    run(above.path(), "chmod", &["+x", script.to_str().unwrap()]);
    workspace.configure(&json!({ "binary": script })).unwrap();
    let said = turn_in(&workspace, &here);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    let kept = fs::read_to_string(away.join(SESSION_FILE)).unwrap();
    assert_eq!(kept, UNKNOWN);
}

#[test]
fn a_thread_of_another_workspace_that_codex_names_is_not_kept() {
    let codex = Path::new(env!("CARGO_BIN_EXE_fake-codex"));
    let named = vec![
        Step::ThreadStartedAs { id: UNKNOWN.into() },
        Step::TurnStarted,
        Step::message("fine"),
        Step::TurnCompleted,
    ];
    let workspace = Workspace::scripted(codex, [named]).unwrap();
    let above = TempDir::new().unwrap();
    run(
        workspace.path(),
        "cp",
        &["-a", ".", &above.path().join("copy").to_string_lossy()],
    );
    workspace.turn(None, "hello").unwrap();
    for _ in 0..2 {
        let said = turn_in(&workspace, &above.path().join("copy"));
        assert_eq!(
            (said.code, said.text().as_str()),
            (Some(0), "fine"),
            "{said:?}"
        );
        assert!(!thread(&said).1, "{said:?}");
        let told: Vec<_> = warnings(&said);
        assert!(
            told.len() == 1 && told[0].contains("is not kept here"),
            "{told:?}"
        );
        assert!(!above.path().join("copy").join(SESSION_FILE).exists());
    }
}
