//! A host that is killed at a chosen moment of saving the session: `crash CODEX WORKSPACE FILE STEP`.
//!
//! It makes one whole turn. When the file of that name is being replaced and that step is
//! reached, it sends itself SIGKILL, so that nothing is tidied up; otherwise it prints `survived`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use plexum_openai_provider::{Config, Provider, Request, SessionFiles};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = || {
        args.next()
            .context("usage: crash CODEX WORKSPACE FILE STEP")
    };
    let (codex, workspace, file, step) = (next()?, next()?, next()?, next()?);
    let config = Config {
        binary: Some(PathBuf::from(codex)),
        ..Config::default()
    };
    let sessions = SessionFiles::default()
        .without_state()
        .observed(move |path, reached| {
            if path.file_name().is_some_and(|name| name == file.as_str())
                && format!("{reached:?}") == step
            {
                // SAFETY: `kill` and `getpid` take plain numbers and touch no memory.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            }
        });
    let provider = Provider::new(config)?.with_session_store(sessions);
    let mut turn = provider.turn(workspace, Request::prompt("hello"));
    while turn.next().await.is_some() {}
    println!("survived");
    Ok(())
}
