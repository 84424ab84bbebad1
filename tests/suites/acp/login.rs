//! `acp --login`: what an editor runs in a terminal.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use plexum_openai_provider_tests::workspace::Workspace;
use serde_json::json;

use super::client::{Agent, fake_codex};

#[test]
fn it_becomes_codex_login_and_runs_no_codex_that_every_user_may_change() {
    let workspace = Workspace::new(fake_codex()).unwrap();
    let codex = workspace.outside("codex");
    fs::write(&codex, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    workspace.configure(&json!({ "binary": codex })).unwrap();
    let login = |mode: u32| {
        fs::set_permissions(&codex, Permissions::from_mode(mode)).unwrap();
        Agent::spawn(Agent::command(&workspace).arg("--login")).end()
    };
    assert_eq!(login(0o755), (Some(7), "login\n".into(), String::new()));
    let (code, stdout, stderr) = login(0o777);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("--allow-writable"), "{stderr}");
    fs::remove_file(&codex).unwrap();
    let (code, stdout, stderr) = Agent::spawn(Agent::command(&workspace).arg("--login")).end();
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(
        stderr.contains("there is no codex to log in with"),
        "{stderr}"
    );
}
