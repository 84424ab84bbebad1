//! Hosts that are killed at random moments: `sigkill CODEX KILLS [SEED]`.
//!
//! Each round is a turn in a process of its own, which gets SIGKILL after a random time, and then a
//! whole turn in another one. The stored id must be whole and the old one after each kill, and the whole turn
//! must go on with it. A workspace is used for ten rounds, so that the first turn is hit as well.
//!
//! The component is compiled once; a round is a fork of this process, which has one thread.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use plexum_openai_provider::{Config, Event, Provider, Request, SESSION_FILE, SessionFiles};
use plexum_openai_provider_tests::fake_codex::{Script, Step};
use plexum_openai_provider_tests::random::Random;
use tempfile::TempDir;

const ROUNDS_A_WORKSPACE: usize = 10;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: sigkill CODEX KILLS [SEED]";
    let codex = PathBuf::from(args.next().context(usage)?);
    let kills: usize = args.next().context(usage)?.parse()?;
    let seed: u64 = args.next().map_or(Ok(1), |seed| seed.parse())?;
    let provider = Provider::new(Config {
        binary: Some(codex),
        ..Config::default()
    })?;
    let state = TempDir::new()?;
    let sessions = SessionFiles::default().with_state_folder(state.path());
    let provider = provider.with_session_store(sessions);

    let mut random = Random(seed);
    let mut workspace = TempDir::new()?;
    // How long a whole turn takes here; kills fall within a bit more than that.
    let began = Instant::now();
    let first = whole_turn(&provider, workspace.path())?;
    let span = began.elapsed() * 5 / 4;
    ensure!(!first.resumed, "a new workspace cannot resume");
    let (mut hit, mut stored_at_kill, mut round) = (0, 0, 0);
    while hit < kills {
        ensure!(
            round < 4 * kills,
            "too few turns are hit for this to mean anything"
        );
        if round % ROUNDS_A_WORKSPACE == 0 {
            workspace = TempDir::new()?;
            // Some time between the lines, for kills to fall into.
            let pause = || Step::Pause { millis: 1 };
            let steps = [
                Step::ThreadStarted,
                pause(),
                Step::TurnStarted,
                Step::Echo,
                pause(),
                Step::TurnCompleted,
            ];
            Script::new().call(steps).write_to(workspace.path())?;
        }
        let before = stored(workspace.path())?;
        let after = span.mul_f64(random.unit());
        hit += usize::from(killed_turn(&provider, workspace.path(), after)?);
        let kept = stored(workspace.path())?;
        if before.is_some() {
            ensure!(
                kept == before,
                "round {round}, killed after {after:?}: {before:?} became {kept:?}"
            );
        }
        stored_at_kill += usize::from(kept.is_some());
        let next = whole_turn(&provider, workspace.path())
            .with_context(|| format!("round {round}, after a kill at {after:?}"))?;
        ensure!(
            // What was not yet in the file may be known outside of the workspace already.
            next.resumed || kept.is_none(),
            "round {round}: {next:?} after {kept:?}"
        );
        ensure!(
            kept.is_none_or(|kept| kept == next.thread_id),
            "round {round}: another thread"
        );
        ensure!(
            stored(workspace.path())?.as_deref() == Some(next.thread_id.as_str()),
            "round {round}: not stored"
        );
        round += 1;
    }
    println!(
        "{hit} turns were killed before their end, in {round} rounds; {stored_at_kill} of them left an id; none was lost"
    );
    Ok(())
}

/// What the workspace holds: nothing, or one whole id.
fn stored(workspace: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(workspace.join(SESSION_FILE)) {
        Ok(id) => {
            ensure!(id.len() == 36, "half an id: {id:?}");
            Ok(Some(id))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug)]
struct Whole {
    thread_id: String,
    resumed: bool,
}

/// A turn that is left to run, in a process of its own as any other.
fn whole_turn(provider: &Provider, workspace: &Path) -> Result<Whole> {
    let (mut read, mut write) = std::io::pipe()?;
    let pid = fork(|| {
        let line = match run_turn(provider, workspace) {
            Ok(Some((thread_id, resumed))) => format!("{thread_id} {resumed}"),
            Ok(None) => "the turn reported no thread".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        // The parent misses a line that cannot be written, and complains.
        i32::from(write.write_all(line.as_bytes()).is_err())
    })?;
    drop(write);
    let mut line = String::new();
    read.read_to_string(&mut line)?;
    wait(pid)?;
    match line.split_once(' ') {
        Some((thread_id, resumed @ ("true" | "false"))) => Ok(Whole {
            thread_id: thread_id.to_owned(),
            resumed: resumed == "true",
        }),
        _ => bail!("{line}"),
    }
}

/// A turn that is killed after this time; whether it was still running.
fn killed_turn(provider: &Provider, workspace: &Path, after: Duration) -> Result<bool> {
    let pid = fork(|| i32::from(run_turn(provider, workspace).is_err()))?;
    std::thread::sleep(after);
    // SAFETY: takes plain numbers and touches no memory; the process is a child that is not reaped yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let status = wait(pid)?;
    Ok(libc::WIFSIGNALED(status))
}

/// A turn of this process: its thread, if it completed.
fn run_turn(provider: &Provider, workspace: &Path) -> Result<Option<(String, bool)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut turn = provider.turn(workspace, Request::prompt("hello"));
        let mut started = None;
        while let Some(event) = turn.next().await {
            match event {
                Event::MessageStart {
                    thread_id, resumed, ..
                } => started = Some((thread_id, resumed)),
                Event::MessageEnd {
                    failure: Some(failure),
                    ..
                } => bail!("{}", failure.message),
                _ => {}
            }
        }
        Ok(started)
    })
}

/// Runs `child` in a fork and ends that with the code it gives.
fn fork(child: impl FnOnce() -> i32) -> Result<libc::pid_t> {
    // SAFETY: this process has one thread whenever it forks, so no lock can be held by another
    // one; the child leaves through `_exit` and runs none of the parent's destructors.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()).context("fork"),
        0 => {
            let code = child();
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(pid),
    }
}

fn wait(pid: libc::pid_t) -> Result<i32> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    ensure!(waited == pid, std::io::Error::last_os_error());
    Ok(status)
}
