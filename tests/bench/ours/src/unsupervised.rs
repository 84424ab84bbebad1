//! Starts codex as its child and waits for that alone, as other wrappers do. What the supervisor costs is the difference.

use std::process::{ExitStatus, Stdio};

use plexum_openai_provider::spawner::{Child, Command, Gone, SpawnFuture, Spawned, Spawner};
use tokio::process;

/// Does without the supervisor.
pub struct Unsupervised;

struct Process(process::Child);

impl Spawner for Unsupervised {
    fn spawn<'a>(&'a self, command: Command<'a>) -> SpawnFuture<'a, Spawned> {
        Box::pin(async move {
            let mut child = process::Command::new(command.program)
                .args(command.args)
                .current_dir(command.workspace)
                .env_clear()
                .envs(
                    command
                        .environment
                        .iter()
                        .map(|(name, value)| (name, value)),
                )
                .stdin(match command.stdin {
                    true => Stdio::piped(),
                    false => Stdio::null(),
                })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let missing = || std::io::Error::other("a pipe is missing");
            Ok(Spawned {
                id: child.id().map_or(0, u32::cast_signed),
                stdin: child.stdin.take().map(|stdin| Box::new(stdin) as _),
                stdout: Box::new(child.stdout.take().ok_or_else(missing)?),
                stderr: Box::new(child.stderr.take().ok_or_else(missing)?),
                child: Box::new(Process(child)),
            })
        })
    }
}

impl Child for Process {
    fn stop(&mut self) {
        // It fails where it has ended, and `ended` tells that.
        let _ = self.0.start_kill();
    }

    fn ended(&mut self) -> SpawnFuture<'_, ExitStatus> {
        Box::pin(self.0.wait())
    }

    fn gone(&mut self) -> SpawnFuture<'_, Gone> {
        Box::pin(std::future::ready(Ok(Gone::All { ended: 0 })))
    }
}
