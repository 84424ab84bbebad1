//! A start of codex as a turn starts it.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::Check;
use crate::codex::spawner::{Command, Spawner};
use crate::codex::supervised::Supervised;
use crate::config::Config;
use crate::grant::environment::EnvironmentRule;
use crate::scarcity;

/// How long it may take, and the grace when it does not end.
const PATIENCE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(1);

/// Has codex report its version: under a supervisor, in the workspace, with the environment of a turn.
pub async fn check(program: &Path, workspace: &Path, config: &Config) -> Check {
    const ID: &str = "start";
    let shown = workspace.display();
    let started = tokio::time::timeout(PATIENCE, start(program, workspace, config)).await;
    match started {
        Ok(Ok(())) => Check::ok(ID, format!("codex starts in {shown} as a turn starts it")),
        Ok(Err(error)) => {
            let remedy = scarcity::remedy(&error).unwrap_or_else(|| {
                "repair what the error names; the other checks may say more".to_owned()
            });
            let said = format!("codex cannot be started in {shown} as a turn starts it: {error}");
            Check::problem(ID, said, remedy)
        }
        Err(_) => Check::problem(
            ID,
            format!(
                "started in {shown} as a turn starts it, codex does not end within {} seconds",
                PATIENCE.as_secs()
            ),
            "check whether the machine is overloaded or a disk does not answer",
        ),
    }
}

async fn start(program: &Path, workspace: &Path, config: &Config) -> io::Result<()> {
    let environment: Vec<_> = EnvironmentRule::new(&config.env)
        .filter(std::env::vars_os())
        .collect();
    let mut spawned = Supervised
        .spawn(Command {
            program,
            args: &["--version".to_owned()],
            workspace,
            environment: &environment,
            stdin: false,
            grace: GRACE,
            lock: None,
        })
        .await?;
    // So that it is not held up by what it prints.
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let read = async {
        tokio::try_join!(
            spawned.stdout.read_to_end(&mut stdout),
            spawned.stderr.read_to_end(&mut stderr)
        )
    };
    let child = &mut spawned.child;
    let ended = async {
        let status = child.ended().await?;
        child.gone().await?;
        io::Result::Ok(status)
    };
    let (_, status) = tokio::try_join!(read, ended)?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&stderr);
    let said = super::installed::telling_line(&said).unwrap_or("it says nothing");
    Err(io::Error::other(format!("{status}: {said}")))
}
