//! Where the turns run, and what must hold for each of them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use plexum_openai_provider::{
    Config, Event, GuestLimits, Limits, Metrics, Provider, Request, SESSION_FILE, SessionFiles,
    Turn,
};
use plexum_openai_provider_tests::census::{leftovers, parent_of, processes_below};
use plexum_openai_provider_tests::fake_codex::{Script, calls};
use plexum_openai_provider_tests::faulty_store::FaultyStore;
use plexum_openai_provider_tests::hostile::SEPARATOR;
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::real_codex::TURN_FLAGS;
use tempfile::TempDir;

use crate::fault::Fault;

/// Far longer than the clocks of [`LIMITS`] allow: who takes longer hangs.
const HANGS: Duration = Duration::from_secs(90);

/// Short clocks, so that thousands of turns run into them in minutes; not so short that a busy machine does.
const LIMITS: Limits = Limits {
    start_seconds: 10,
    idle_seconds: 10,
    tool_idle_seconds: 10,
    turn_seconds: 60,
    busy_seconds: 10,
    end_seconds: 3,
    grace_seconds: 1,
    output_mib: 16,
    turns: 100_000,
};

/// Clocks for turns that nothing but their caller is to end: all of them run longer than [`HANGS`] and than [`GONE`].
const PATIENT: Limits = Limits {
    idle_seconds: 3600,
    tool_idle_seconds: 3600,
    turn_seconds: 3600,
    ..LIMITS
};

/// How long a dropped turn may take to end its processes: some seconds of grace, on a busy machine.
const GONE: Duration = Duration::from_secs(60);

/// The providers, and the folder with all workspaces.
pub struct Bench {
    honest: Provider,
    trapping: Provider,
    on_full_disk: Provider,
    with_own_program: Provider,
    patient: Provider,
    fake_codex: PathBuf,
    own_program: PathBuf,
    root: TempDir,
}

impl Bench {
    /// One with this fake codex and this hostile component.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(fake_codex: &Path, hostile: &[u8]) -> Result<Self> {
        let root = TempDir::new()?;
        let own_program = root.path().join("codex");
        let with_limits = |binary: &Path, limits| Config {
            binary: Some(binary.to_owned()),
            limits,
            guest: GuestLimits {
                cpu_seconds: 1,
                ..GuestLimits::default()
            },
            ..Config::default()
        };
        let config = |binary| with_limits(binary, LIMITS);
        Ok(Bench {
            honest: Provider::new(config(fake_codex))?
                .with_session_store(SessionFiles::default().without_state()),
            trapping: Provider::with_component(config(fake_codex), hostile)?
                .with_session_store(SessionFiles::default().without_state()),
            on_full_disk: Provider::new(config(fake_codex))?.with_session_store(
                FaultyStore::fails_at("save", io::Error::from(io::ErrorKind::StorageFull)),
            ),
            with_own_program: Provider::new(config(&own_program))?
                .with_session_store(SessionFiles::default().without_state()),
            patient: Provider::new(with_limits(fake_codex, PATIENT))?
                .with_session_store(SessionFiles::default().without_state()),
            fake_codex: fake_codex.to_owned(),
            own_program,
            root,
        })
    }

    /// A turn with this fault, and what must hold for it.
    ///
    /// # Errors
    /// When it does not hold.
    pub async fn turn(&self, fault: Fault, mut random: Random) -> Result<()> {
        let folder = TempDir::new_in(self.root.path())?;
        let workspace = folder.path();
        Script::new().call(fault.steps()).write_to(workspace)?;
        let provider = self.provider(fault, workspace)?;
        let prompt = match fault {
            Fault::ComponentTraps => "trap-after-start:".to_owned() + &allowed_call(),
            Fault::ComponentSpins => "loop-after-start:".to_owned() + &allowed_call(),
            _ => "hello".to_owned(),
        };
        let place = if fault == Fault::NoWorkspace {
            workspace.join("gone")
        } else {
            workspace.to_owned()
        };
        let turn = provider.turn(place, Request::prompt(prompt));
        let took = tokio::time::timeout(HANGS, take(turn, fault, workspace, &mut random));
        took.await
            .with_context(|| format!("{fault:?}: the turn hangs"))??;
        self.nothing_is_left(fault, workspace).await
    }

    fn provider(&self, fault: Fault, workspace: &Path) -> Result<&Provider> {
        Ok(match fault {
            Fault::ComponentTraps | Fault::ComponentSpins => &self.trapping,
            Fault::DiskFull => &self.on_full_disk,
            Fault::Cancelled | Fault::Dropped => &self.patient,
            Fault::ProgramRemoved => {
                match fs::remove_file(&self.own_program) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
                &self.with_own_program
            }
            Fault::ProgramReplaced => {
                let fresh = workspace.join("codex.new");
                fs::copy(&self.fake_codex, &fresh)?;
                fs::rename(&fresh, &self.own_program)?;
                &self.with_own_program
            }
            Fault::SessionIsFolder => {
                fs::create_dir(workspace.join(SESSION_FILE))?;
                &self.honest
            }
            Fault::SessionIsGarbage => {
                fs::write(workspace.join(SESSION_FILE), b"\0\r\n--last\r\n")?;
                &self.honest
            }
            _ => &self.honest,
        })
    }

    /// No process and no temporary file. A dropped turn has its grace period.
    async fn nothing_is_left(&self, fault: Fault, workspace: &Path) -> Result<()> {
        let bound = tokio::time::Instant::now() + GONE;
        loop {
            let left = processes_below(&workspace.canonicalize()?);
            if left.is_empty() {
                break;
            }
            if fault == Fault::SupervisorKilled {
                // Nobody is left who knows them.
                for (pid, _) in left {
                    // SAFETY: takes numbers only; the process works in a folder that is ours alone.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            } else if fault != Fault::Dropped || tokio::time::Instant::now() > bound {
                bail!("{fault:?}: processes are left: {left:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if fault == Fault::Dropped {
            // Codex may be gone while the turn still keeps its thread's id. It is over when its lock is open.
            let lock = File::open(workspace)?;
            tokio::task::spawn_blocking(move || lock.lock()).await??;
        }
        let files = leftovers(workspace)?;
        ensure!(files.is_empty(), "{fault:?}: files are left: {files:?}");
        Ok(())
    }

    /// The metrics of all turns together.
    #[must_use]
    pub fn metrics(&self) -> [Metrics; 5] {
        [
            self.honest.metrics(),
            self.trapping.metrics(),
            self.on_full_disk.metrics(),
            self.with_own_program.metrics(),
            self.patient.metrics(),
        ]
    }
}

/// The arguments that the grant allows in a new workspace, as the hostile component wants them.
fn allowed_call() -> String {
    [&["exec"], &TURN_FLAGS[..], &["--", "hello"]]
        .concat()
        .join(SEPARATOR)
}

/// Takes the events as a caller with this fault does: exactly one end, last, and of a kind that may be.
async fn take(mut turn: Turn, fault: Fault, workspace: &Path, random: &mut Random) -> Result<()> {
    let moment = Duration::from_millis(150).mul_f64(random.unit());
    let mut moment = Box::pin(tokio::time::sleep(moment));
    let mut at_moment = matches!(fault, Fault::Cancelled | Fault::Dropped);
    let mut end = None;
    loop {
        let event = tokio::select! {
            event = turn.next() => event,
            () = &mut moment, if at_moment => {
                if fault == Fault::Dropped {
                    return Ok(());
                }
                turn.cancel();
                at_moment = false;
                continue;
            }
        };
        ensure!(
            end.is_none() || event.is_none(),
            "{fault:?}: {event:?} follows {end:?}"
        );
        match event {
            None => break,
            Some(Event::MessageStart { .. }) if fault == Fault::SupervisorKilled => {
                kill_supervisor(workspace)?;
            }
            Some(Event::MessageEnd {
                stop_reason,
                failure,
                ..
            }) => end = Some((stop_reason, failure)),
            Some(_) if fault == Fault::SlowCaller => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Some(_) => {}
        }
    }
    let (stop_reason, failure) = end.with_context(|| format!("{fault:?}: the turn has no end"))?;
    let ended = (stop_reason, failure.as_ref().map(|failure| failure.kind));
    // A program that others remove and replace is there or not.
    let may = match fault {
        Fault::ProgramRemoved | Fault::ProgramReplaced => {
            [Fault::ProgramRemoved.ends(), Fault::None.ends()].concat()
        }
        _ => fault.ends(),
    };
    ensure!(
        fault == Fault::Dropped || may.contains(&ended),
        "{fault:?} ended as {ended:?}: {failure:?}"
    );
    Ok(())
}

fn kill_supervisor(workspace: &Path) -> Result<()> {
    let calls = calls(workspace)?;
    let codex = calls.first().context("codex has begun")?.pid;
    let supervisor = parent_of(codex)?;
    // SAFETY: takes numbers only. The parent of codex is its supervisor.
    unsafe { libc::kill(supervisor, libc::SIGKILL) };
    Ok(())
}
