//! Where the turns run, and what must hold for each of them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use plexum_openai_provider::{
    Config, Event, GuestLimits, Limits, Provider, Request, SESSION_FILE, SessionFiles, Turn,
};
use plexum_openai_provider_tests::census::{leftovers, processes_below};
use plexum_openai_provider_tests::fake_codex::{Script, Step};
use plexum_openai_provider_tests::faulty_store::FaultyStore;
use plexum_openai_provider_tests::hostile::SEPARATOR;
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::real_codex::TURN_FLAGS;
use tempfile::TempDir;

use crate::fault::{Fault, Host};
use crate::run::{Bench, Tally};
use crate::say::Say;
use crate::strike::Place;
use crate::turned::Turned;

/// Far longer than the clocks of [`LIMITS`] allow: who takes longer hangs.
const HANGS: Duration = Duration::from_secs(240);

/// Short clocks, so that thousands of turns run into them in minutes; not so short that a busy machine does.
const LIMITS: Limits = Limits {
    start_seconds: 10,
    idle_seconds: 20,
    tool_idle_seconds: 10,
    turn_seconds: 60,
    busy_seconds: 10,
    end_seconds: 3,
    grace_seconds: 1,
    output_mib: 16,
    turns: 100_000,
};

/// Clocks for turns that no clock is to end: all of them run longer than [`HANGS`] and than [`GONE`].
const PATIENT: Limits = Limits {
    idle_seconds: 3600,
    tool_idle_seconds: 3600,
    turn_seconds: 3600,
    ..LIMITS
};

/// How long a dropped turn may take to end its processes: some seconds of grace, on a busy machine.
const GONE: Duration = Duration::from_secs(60);

/// The providers, and the folder with all workspaces.
pub struct ExecBench {
    honest: Provider,
    trapping: Provider,
    on_full_disk: Provider,
    with_own_program: Provider,
    patient: Provider,
    say: Say,
    fake_codex: PathBuf,
    own_program: PathBuf,
    root: TempDir,
}

impl ExecBench {
    /// One with this program, this fake codex and this hostile component.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(program: &Path, fake_codex: &Path, hostile: &[u8]) -> Result<Self> {
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
        Ok(ExecBench {
            honest: Provider::new(config(fake_codex))?,
            trapping: Provider::with_component(config(fake_codex), hostile)?,
            on_full_disk: Provider::new(config(fake_codex))?.with_session_store(
                FaultyStore::fails_at("save", io::Error::from(io::ErrorKind::StorageFull)),
            ),
            with_own_program: Provider::new(config(&own_program))?,
            patient: Provider::new(with_limits(fake_codex, PATIENT))?,
            say: Say::new(program, fake_codex, root.path())?,
            fake_codex: fake_codex.to_owned(),
            own_program,
            root,
        })
    }

    async fn in_library(
        &self,
        fault: Fault,
        place: &mut Place,
        random: &mut Random,
    ) -> Result<Turned> {
        let provider = self.provider(fault, place)?;
        let prompt = match fault {
            Fault::ComponentTraps => "trap-after-start:".to_owned() + &allowed_call(),
            Fault::ComponentSpins => "loop-after-start:".to_owned() + &allowed_call(),
            _ => "hello".to_owned(),
        };
        let workspace = if fault == Fault::NoWorkspace {
            place.workspace.join("gone")
        } else {
            place.workspace.clone()
        };
        let turn = provider.turn(workspace, Request::prompt(prompt));
        take(turn, fault, place, random).await
    }

    /// The next turn in this workspace, without a fault.
    async fn next(&self, fault: Fault, place: &Place) -> Result<Turned> {
        if fault.host() == Host::Say {
            return self.say.next(fault, place).await;
        }
        let provider = self.provider(fault, place)?;
        let mut turn = provider.turn(&place.workspace, Request::prompt("again"));
        let mut turned = Turned::default();
        while let Some(event) = turn.next().await {
            turned.note(fault, event)?;
        }
        Ok(turned)
    }

    /// Who runs this turn, with a state of its own.
    fn provider(&self, fault: Fault, place: &Place) -> Result<Provider> {
        let workspace = &place.workspace;
        let provider = match fault {
            Fault::ComponentTraps | Fault::ComponentSpins => &self.trapping,
            Fault::DiskFull => return Ok(self.on_full_disk.clone()),
            Fault::Cancelled | Fault::Dropped => &self.patient,
            // Megabytes take long on a busy machine, a flood of signals takes the processors, and no clock is what these are
            // about.
            Fault::Flood | Fault::TooMuchOutput | Fault::HugeLine | Fault::SupervisorFlooded => {
                &self.patient
            }
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
        };
        let state = match fault {
            // A file is in the way.
            Fault::NoState => place.victim().join("state"),
            _ => place.state(),
        };
        let sessions = SessionFiles::default()
            .with_state_folder(state)
            .with_codex_home(place.folder().join("codex"));
        Ok(provider.clone().with_session_store(sessions))
    }

    /// No process and no temporary file, and nothing where it does not belong. A dropped turn has its grace period.
    async fn nothing_is_left(&self, fault: Fault, place: &Place) -> Result<()> {
        let bound = tokio::time::Instant::now() + GONE;
        loop {
            let left = processes_below(&place.folder().canonicalize()?);
            if left.is_empty() {
                break;
            }
            if fault != Fault::Dropped || tokio::time::Instant::now() > bound {
                bail!("{fault:?}: processes are left: {left:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if fault == Fault::Dropped {
            // Codex may be gone while the turn still keeps its thread's id. It is over when its lock is open.
            let lock = File::open(&place.workspace)?;
            tokio::task::spawn_blocking(move || lock.lock()).await??;
        }
        let files = leftovers(&place.workspace)?;
        ensure!(files.is_empty(), "{fault:?}: files are left: {files:?}");
        place.nothing_else_is_written(fault)
    }
}

impl Bench for ExecBench {
    type Fault = Fault;

    const ALL: &'static [Fault] = Fault::ALL;

    const FIRST: &'static [Fault] = &[
        Fault::None,
        Fault::ComponentTraps,
        Fault::DiskFull,
        Fault::ProgramReplaced,
    ];

    async fn case(&self, fault: Fault, mut random: Random) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut place = Place::new(self.root.path(), &mut random)?;
        let mut script = Script::new().call(fault.steps());
        if fault.is_survived() {
            script = script.call(Step::turn("next"));
        }
        script.write_to(&place.workspace)?;
        let took = tokio::time::timeout(HANGS, async {
            match fault.host() {
                Host::Library => self.in_library(fault, &mut place, &mut random).await,
                Host::Say => self.say.turn(fault, &place, &mut random).await,
            }
        });
        let turned = took
            .await
            .with_context(|| format!("{fault:?}: the turn hangs"))??;
        tally += turned.tally();
        self.nothing_is_left(fault, &place).await?;
        if fault.is_survived() {
            place.strike_later(fault, &mut random)?;
            let next = tokio::time::timeout(HANGS, self.next(fault, &place));
            let next = next
                .await
                .with_context(|| format!("{fault:?}: the next turn hangs"))??;
            check_end(Fault::None, &next).with_context(|| format!("the turn after {fault:?}"))?;
            ensure!(
                next.resumed && next.thread == turned.thread,
                "{fault:?}: {turned:?} was followed by {next:?}"
            );
            tally += next.tally();
            self.nothing_is_left(fault, &place).await?;
        }
        Ok(tally)
    }

    fn end(&self) -> Result<()> {
        let providers = [
            &self.honest,
            &self.trapping,
            &self.on_full_disk,
            &self.with_own_program,
            &self.patient,
        ];
        for provider in providers {
            let metrics = provider.metrics();
            ensure!(
                metrics.turns_open == 0 && metrics.turns_waiting == 0,
                "turns are open: {metrics:?}"
            );
            println!("{}", serde_json::to_string(&metrics)?);
        }
        Ok(())
    }
}

/// The arguments that the grant allows in a new workspace, as the hostile component wants them.
fn allowed_call() -> String {
    [&["exec"], &TURN_FLAGS[..], &["--", "hello"]]
        .concat()
        .join(SEPARATOR)
}

/// Takes the events as a caller with this fault does: exactly one end, last, and of a kind that may be.
async fn take(
    mut turn: Turn,
    fault: Fault,
    place: &mut Place,
    random: &mut Random,
) -> Result<Turned> {
    let moment = Duration::from_millis(150).mul_f64(random.unit());
    let mut moment = Box::pin(tokio::time::sleep(moment));
    let mut at_moment = matches!(fault, Fault::Cancelled | Fault::Dropped);
    let mut turned = Turned::default();
    loop {
        let event = tokio::select! {
            event = turn.next() => event,
            () = &mut moment, if at_moment => {
                if fault == Fault::Dropped {
                    return Ok(turned);
                }
                turn.cancel();
                at_moment = false;
                continue;
            }
        };
        let Some(event) = event else {
            break;
        };
        let begins = matches!(event, Event::MessageStart { .. });
        turned.note(fault, event)?;
        if begins && fault.strikes() {
            place.strike(fault, random).await?;
        } else if fault == Fault::SlowCaller {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    check_end(fault, &turned)?;
    Ok(turned)
}

/// Checks that a turn with this fault has ended, in a way in which it may.
///
/// # Errors
/// When it has not.
pub fn check_end(fault: Fault, turned: &Turned) -> Result<()> {
    // A program that others remove and replace is there or not.
    let may = match fault {
        Fault::ProgramRemoved | Fault::ProgramReplaced => {
            [Fault::ProgramRemoved.ends(), Fault::None.ends()].concat()
        }
        _ => fault.ends(),
    };
    turned.check_end(fault, &may)
}
