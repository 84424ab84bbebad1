//! Turns in processes of their own: faults that meet a process as a whole.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider_tests::jail::{Forbidden, forbid, limit};
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::workspace::{Said, cache_home};
use serde_json::json;

use crate::bench::check_end;
use crate::fault::{Fault, GO, READY};
use crate::strike::{Place, codex, supervisor};
use crate::turned::Turned;

/// How long codex may be silent in these turns, and how long they are frozen.
const IDLE_SECONDS: u64 = 4;
const FROZEN: Duration = Duration::from_secs(5);

/// The program, configured.
pub struct Say {
    program: PathBuf,
    config: PathBuf,
}

impl Say {
    /// One with this codex, whose configuration is put into this folder.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn new(program: &Path, codex: &Path, folder: &Path) -> Result<Self> {
        let config = folder.join("config.json");
        let limits = json!({ "grace_seconds": 1, "idle_seconds": IDLE_SECONDS });
        let content = json!({ "binary": codex, "limits": limits });
        std::fs::write(&config, content.to_string())?;
        Ok(Say {
            program: program.to_owned(),
            config,
        })
    }

    /// A turn with this fault.
    ///
    /// # Errors
    /// When something does not hold that must.
    pub async fn turn(&self, fault: Fault, place: &Place, random: &mut Random) -> Result<Turned> {
        let mut say = self.command(place);
        match fault {
            Fault::SyncFails => forbid(
                &mut say,
                Forbidden {
                    call: libc::SYS_fsync,
                    errno: libc::EIO,
                },
            ),
            Fault::FewDescriptors => {
                let few: Vec<u64> = (12..=40).collect();
                let few = random.choose(&few).context("there are numbers")?;
                limit(&mut say, libc::RLIMIT_NOFILE, *few);
            }
            _ => {}
        }
        let first = say.spawn()?;
        let second = match fault {
            Fault::SecondHost => Some(self.command(place).spawn()?),
            _ => None,
        };
        if fault.strikes() {
            strike(fault, &first, &place.workspace).await?;
        }
        let first = said(first).await?;
        // It may not have come to a turn at all.
        if fault == Fault::FewDescriptors && first.is_none() {
            return Ok(Turned::default());
        }
        let first = turned(fault, first)?;
        check_end(fault, &first)?;
        if let Some(second) = second {
            let second = turned(fault, said(second).await?)?;
            check_end(fault, &second)?;
            ensure!(
                first.thread == second.thread && first.resumed != second.resumed,
                "{fault:?}: two hosts had {first:?} and {second:?}"
            );
        }
        Ok(first)
    }

    /// A turn without a fault.
    ///
    /// # Errors
    /// When it has no end.
    pub async fn next(&self, fault: Fault, place: &Place) -> Result<Turned> {
        turned(fault, said(self.command(place).spawn()?).await?)
    }

    fn command(&self, place: &Place) -> Command {
        let mut say = Command::new(&self.program);
        say.args(["say", "--json", "--config"])
            .arg(&self.config)
            .arg("--workspace")
            .arg(&place.workspace)
            .args(["--", "hello"])
            .env("XDG_STATE_HOME", place.state_home())
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .default_signals();
        say
    }
}

/// Waits until codex is at work, has the fault come over its host, and lets it go on.
async fn strike(fault: Fault, say: &Child, workspace: &Path) -> Result<()> {
    while !workspace.join(READY).exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let host = say.id().cast_signed();
    if fault == Fault::Hangup {
        return send(host, libc::SIGHUP);
    }
    // When they go on, the host is the first, which is the worst for codex: its clock has run out meanwhile.
    let all = [host, supervisor(workspace)?, codex(workspace)?];
    for pid in all {
        send(pid, libc::SIGSTOP)?;
    }
    tokio::time::sleep(FROZEN).await;
    for pid in all {
        send(pid, libc::SIGCONT)?;
    }
    Ok(std::fs::write(workspace.join(GO), "")?)
}

/// Sends a signal to a process that this one has had started.
///
/// # Errors
/// When it is not there.
pub fn send(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: takes numbers only; the process is one that this one has had started.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

/// What it said; None if it has ended before there was a turn.
async fn said(say: Child) -> Result<Option<Said>> {
    let output = tokio::task::spawn_blocking(|| say.wait_with_output()).await??;
    if output.stdout.is_empty() && !output.status.success() {
        return Ok(None);
    }
    Said::by(&output).map(Some)
}

fn turned(fault: Fault, said: Option<Said>) -> Result<Turned> {
    let said = said.with_context(|| format!("{fault:?}: there was no turn"))?;
    let mut turned = Turned::default();
    for event in said.events {
        turned.note(fault, event)?;
    }
    Ok(turned)
}
