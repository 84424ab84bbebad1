//! Where the turns of a codex that stays run, and what must hold for each of them.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use plexum_openai_provider::{
    Config, Event, Limits, Metrics, Provider, Request, ServerLimits, SessionFiles, Transport,
};
use plexum_openai_provider_tests::attack::{Attack, supervisor_of};
use plexum_openai_provider_tests::census::{leftovers, processes_below};
use plexum_openai_provider_tests::fake_codex::{ServerScript, calls, children};
use plexum_openai_provider_tests::faulty_store::FaultyStore;
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::wait::is_running;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::fault::{End, GO, READY};
use crate::run::{Bench, Tally};
use crate::say::send;
use crate::server_fault::{Codex, ServerFault, When};
use crate::server_host::in_own_host;
use crate::strike::{self, Place};
use crate::turned::Turned;

/// Far longer than the clocks of [`LIMITS`] allow for all turns of a case together: who takes longer hangs.
const HANGS: Duration = Duration::from_secs(400);

/// How long what nobody waits for may take to end: some seconds of grace, on a busy machine.
const GONE: Duration = Duration::from_secs(60);

/// How often something is looked for that gives no signal.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Short clocks, so that hundreds of turns run into them in minutes; not so short that a busy machine does.
const LIMITS: Limits = Limits {
    start_seconds: 10,
    idle_seconds: 10,
    tool_idle_seconds: 10,
    turn_seconds: 60,
    busy_seconds: 30,
    end_seconds: 3,
    grace_seconds: 1,
    output_mib: 16,
    turns: 100_000,
};

/// Clocks for turns that no clock is to end: all of them run longer than [`HANGS`].
const PATIENT: Limits = Limits {
    idle_seconds: 3600,
    tool_idle_seconds: 3600,
    turn_seconds: 3600,
    ..LIMITS
};

/// The programs, and the folder with all workspaces.
pub struct ServerBench {
    program: PathBuf,
    codex: PathBuf,
    root: TempDir,
    metrics: RefCell<Sums>,
}

/// What the providers of all cases have counted together.
#[derive(Debug, Default)]
struct Sums {
    completed: u64,
    aborted: u64,
    failed: u64,
    codex_starts: u64,
    left_behind: u64,
}

impl Sums {
    fn add(&mut self, metrics: &Metrics) {
        self.completed += metrics.turns_completed;
        self.aborted += metrics.turns_aborted;
        self.failed += metrics.turns_failed.values().sum::<u64>();
        self.codex_starts += metrics.codex_starts;
        self.left_behind += metrics.left_behind;
    }
}

impl ServerBench {
    /// One with this program and this fake codex.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(program: &Path, codex: &Path) -> Result<Self> {
        Ok(ServerBench {
            program: program.to_owned(),
            codex: codex.to_owned(),
            root: TempDir::new()?,
            metrics: RefCell::default(),
        })
    }

    /// A conversation in this process, with this fault.
    async fn in_library(
        &self,
        fault: ServerFault,
        place: &Place,
        random: &mut Random,
    ) -> Result<Tally> {
        let mut talk = Talk::new(fault, place, &self.codex)?;
        let mut tally = Tally::default();
        let earlier = match (fault.needs_earlier(), fault.is_first()) {
            (_, true) => 0,
            (true, _) => 1 + random.number() % 2,
            (false, _) => random.number() % 3,
        };
        for _ in 0..earlier {
            tally += talk.usual_turn().await?;
        }
        let before = talk.codexes()?;
        ensure!(
            before == usize::from(earlier > 0),
            "{fault:?}: {before} codex processes did {earlier} turns"
        );
        talk.write_script(fault)?;
        if fault.when() == When::Waiting {
            talk.strike_waiting(random).await?;
        } else if fault.when() == When::Opening && earlier > 0 {
            // So that another one opens the conversation.
            send(talk.codex()?, libc::SIGKILL)?;
        }
        let turned = talk.turn_with_fault(random).await?;
        tally += turned.tally();
        if turned.end.is_some() {
            talk.check(&turned, &fault.ends(earlier > 0))?;
        }
        let during = talk.codexes()?;
        talk.write_script(ServerFault::None)?;
        if fault == ServerFault::Lingers {
            // The next turn is not for it, so it is told to end.
            fs::write(place.workspace.join("AGENTS.md"), "Be kind.")?;
        }
        tally += talk.usual_turn().await?;
        let after = talk.codexes()?;
        let is_as_said = match fault.codex() {
            Codex::Stays => (earlier == 0 || during == before) && after == during,
            Codex::IsNewAtOnce => during == before + 1 && after == during,
            Codex::IsNewThen => after == during + 1,
            Codex::Any => true,
        };
        ensure!(
            is_as_said,
            "{fault:?}: {before} codex processes before it, {during} with it, {after} after it, {earlier} turns before it"
        );
        if matches!(
            fault,
            ServerFault::ClosedWaiting | ServerFault::ClosedInTurn
        ) {
            // Nobody waits for the codex of a turn that ended when the provider was closed already.
            let folder = place.folder().canonicalize()?;
            until("it is closed", || Ok(processes_below(&folder).is_empty())).await?;
        }
        talk.close().await?;
        self.metrics.borrow_mut().add(&talk.provider.metrics());
        Ok(tally)
    }

    /// More conversations at once than codex processes may wait.
    async fn crowded(&self, place: &Place, random: &mut Random) -> Result<Tally> {
        let fault = ServerFault::Crowded;
        let most = 1 + random.number() % 3;
        let mut config = config(fault, &self.codex);
        config.server.processes = u32::try_from(most)?;
        let provider = Provider::new(config)?.with_session_store(sessions(place));
        let mut talks = JoinSet::new();
        for number in 0..most + 2 {
            let workspace = place.workspace.join(number.to_string());
            fs::create_dir(&workspace)?;
            let mut talk = Talk {
                provider: provider.clone(),
                sessions: sessions(place),
                codex: self.codex.clone(),
                thread: None,
                fault,
                folder: place.folder().to_owned(),
                workspace,
                rest: None,
            };
            talks.spawn_local(async move {
                let mut tally = Tally::default();
                for _ in 0..3 {
                    tally += talk.usual_turn().await?;
                }
                anyhow::Ok(tally)
            });
        }
        let mut tally = Tally::default();
        while let Some(ended) = talks.join_next().await {
            tally += ended??;
        }
        let most = usize::try_from(most)?;
        until("the surplus is closed", || {
            Ok(processes_below(place.folder()).len() == most)
        })
        .await?;
        provider.close().await;
        self.metrics.borrow_mut().add(&provider.metrics());
        Ok(tally)
    }

    /// No process and no temporary file.
    async fn nothing_is_left(&self, fault: ServerFault, place: &Place) -> Result<()> {
        let folder = place.folder().canonicalize()?;
        if fault.has_own_host() {
            // Nobody waited for what was left of a host that was killed.
            until(
                "nothing is left",
                || Ok(processes_below(&folder).is_empty()),
            )
            .await?;
        }
        let left = processes_below(&folder);
        ensure!(left.is_empty(), "processes are left: {left:?}");
        let state = place.state();
        let folders = [
            place.workspace.clone(),
            state.join("threads"),
            state.join("workspaces"),
            state,
        ];
        for folder in folders.iter().filter(|folder| folder.exists()) {
            let files = leftovers(folder)?;
            ensure!(files.is_empty(), "files are left: {files:?}");
        }
        place.nothing_else_is_written(fault)
    }
}

impl Bench for ServerBench {
    type Fault = ServerFault;

    const ALL: &'static [ServerFault] = ServerFault::ALL;

    const FIRST: &'static [ServerFault] = &[ServerFault::None];

    async fn case(&self, fault: ServerFault, mut random: Random) -> Result<Tally> {
        let place = Place::new(self.root.path(), &mut random)?;
        let case = timeout(HANGS, async {
            if fault.has_own_host() {
                let (program, codex) = (self.program.clone(), self.codex.clone());
                let (folder, workspace) = (place.folder().to_owned(), place.workspace.clone());
                let run = move || in_own_host(fault, &program, &codex, &folder, &workspace);
                tokio::task::spawn_blocking(run).await?
            } else if fault == ServerFault::Crowded {
                self.crowded(&place, &mut random).await
            } else {
                self.in_library(fault, &place, &mut random).await
            }
        });
        let tally = case
            .await
            .with_context(|| format!("{fault:?}: it hangs"))?
            .with_context(|| format!("{fault:?}"))?;
        self.nothing_is_left(fault, &place)
            .await
            .with_context(|| format!("{fault:?}"))?;
        Ok(tally)
    }

    fn end(&self) -> Result<()> {
        println!("{:?}", self.metrics.borrow());
        Ok(())
    }
}

fn config(fault: ServerFault, codex: &Path) -> Config {
    let limits = match fault {
        // No clock is what these are about.
        ServerFault::Cancelled
        | ServerFault::Dropped
        | ServerFault::Flood
        | ServerFault::TooMuchOutput
        | ServerFault::HugeLine => PATIENT,
        _ => LIMITS,
    };
    let server = ServerLimits {
        idle_seconds: match fault {
            ServerFault::WaitedEnough => 2,
            _ => 600,
        },
        ..ServerLimits::default()
    };
    Config {
        binary: Some(codex.to_owned()),
        transport: Some(Transport::AppServer),
        limits,
        server,
        ..Config::default()
    }
}

fn sessions(place: &Place) -> SessionFiles {
    SessionFiles::default()
        .with_state_folder(place.state())
        .with_codex_home(place.folder().join("codex"))
}

/// A conversation.
struct Talk {
    provider: Provider,
    fault: ServerFault,
    sessions: SessionFiles,
    codex: PathBuf,
    folder: PathBuf,
    workspace: PathBuf,
    /// Its thread, once a turn has completed.
    thread: Option<String>,
    /// A provider for all other turns than the one with the fault.
    rest: Option<Provider>,
}

impl Talk {
    fn new(fault: ServerFault, place: &Place, codex: &Path) -> Result<Self> {
        let codex = match fault {
            // A copy, so that it can be replaced.
            ServerFault::ProgramReplaced => {
                let own = place.folder().join("program");
                fs::copy(codex, &own)?;
                own
            }
            _ => codex.to_owned(),
        };
        let provider = Provider::new(config(fault, &codex))?;
        let honest = provider.clone().with_session_store(sessions(place));
        let (provider, rest) = match fault {
            ServerFault::DiskFull => {
                let full = io::Error::from(io::ErrorKind::StorageFull);
                let store = FaultyStore::fails_at("save", full);
                (provider.with_session_store(store), Some(honest))
            }
            _ => (honest, None),
        };
        Ok(Talk {
            provider,
            sessions: sessions(place),
            codex,
            fault,
            folder: place.folder().to_owned(),
            workspace: place.workspace.clone(),
            thread: None,
            rest,
        })
    }

    /// A turn that nothing is wrong with: it completes, in the same conversation as the last one that did.
    async fn usual_turn(&mut self) -> Result<Tally> {
        let provider = self.rest.as_ref().unwrap_or(&self.provider);
        let mut turn = provider.turn(&self.workspace, Request::prompt("hello"));
        let mut turned = Turned::default();
        while let Some(event) = turn.next().await {
            turned.note(self.fault, event)?;
        }
        self.check(&turned, &ServerFault::None.ends(false))
            .context("a turn without a fault")?;
        let text = &turned.text;
        ensure!(text == "echo: hello", "a turn without a fault said {text}");
        ensure!(
            self.thread.is_none() || turned.resumed && turned.thread == self.thread,
            "{:?} was followed by {turned:?}",
            self.thread
        );
        self.thread.clone_from(&turned.thread);
        Ok(turned.tally())
    }

    /// Checks that it has ended as it may, and has left nothing behind.
    fn check(&self, turned: &Turned, may: &[End]) -> Result<()> {
        turned.check_end(self.fault, may)?;
        let mut left = children(&self.workspace)?;
        left.retain(|pid| is_running(*pid));
        match self.fault {
            // They are codex's, and not the turn's.
            ServerFault::StartsHelpers => ensure!(left.len() % 2 == 0, "a helper has ended"),
            _ => ensure!(left.is_empty(), "tools are left: {left:?}"),
        }
        if self.fault == ServerFault::LateItems || self.fault == ServerFault::ItemsAfterTheEnd {
            ensure!(turned.text == "echo: hello", "it said {}", turned.text);
        }
        Ok(())
    }

    /// The turn that the fault meets, taken as its caller does.
    async fn turn_with_fault(&mut self, random: &mut Random) -> Result<Turned> {
        let fault = self.fault;
        let mut turn = self
            .provider
            .turn(&self.workspace, Request::prompt("hello"));
        let mut moment = Box::pin(sleep(Duration::from_millis(200).mul_f64(random.unit())));
        let mut at_moment = matches!(
            fault,
            ServerFault::Cancelled | ServerFault::Dropped | ServerFault::PausedWaiting
        );
        let mut turned = Turned::default();
        loop {
            let event = tokio::select! {
                event = turn.next() => event,
                () = &mut moment, if at_moment => {
                    match fault {
                        ServerFault::Dropped => return Ok(turned),
                        ServerFault::Cancelled => turn.cancel(),
                        _ => send(self.codex()?, libc::SIGCONT)?,
                    }
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
                self.strike().await?;
            } else if fault == ServerFault::SlowCaller {
                sleep(Duration::from_millis(5)).await;
            }
        }
        ensure!(turned.end.is_some(), "the turn has no end");
        Ok(turned)
    }

    /// Waits until codex is at work, has the fault come over it, and lets it go on.
    async fn strike(&self) -> Result<()> {
        let ready = self.workspace.join(READY);
        until("codex is at work", || Ok(ready.exists())).await?;
        match self.fault {
            // Of this one, codex is about to end.
            ServerFault::SupervisorKilled => Attack::Kill.on(supervisor_of(self.codex()?)?),
            _ => {
                // It works, so there is nothing to wait for.
                self.provider.close().await;
                Ok(fs::write(self.workspace.join(GO), "")?)
            }
        }
    }

    /// What comes while codex waits.
    async fn strike_waiting(&mut self, random: &mut Random) -> Result<()> {
        let codex = self.codex()?;
        match self.fault {
            ServerFault::KilledWaiting => send(codex, libc::SIGKILL)?,
            ServerFault::TerminatedWaiting => send(codex, libc::SIGTERM)?,
            ServerFault::StoppedWaiting | ServerFault::PausedWaiting => send(codex, libc::SIGSTOP)?,
            ServerFault::SupervisorKilledWaiting => Attack::Kill.on(supervisor_of(codex)?)?,
            ServerFault::SupervisorStoppedWaiting => Attack::Stop.on(supervisor_of(codex)?)?,
            ServerFault::ProgramReplaced => {
                let (program, new) = (self.folder.join("program"), self.folder.join("new"));
                fs::copy(&program, &new)?;
                fs::rename(&new, &program)?;
            }
            ServerFault::InstructionsReplaced => {
                fs::write(self.workspace.join("AGENTS.md"), "Be kind.")?;
            }
            ServerFault::GoesOnByHand => {
                let mut record = OpenOptions::new().append(true).open(self.record()?)?;
                let turn = r#"{"type":"turn_context","payload":{"turn_id":"by hand"}}"#;
                writeln!(record, "{turn}")?;
            }
            ServerFault::RecordRemoved => fs::remove_file(self.record()?)?,
            ServerFault::WaitedEnough => {
                until("it is closed", || Ok(!is_running(codex))).await?;
            }
            ServerFault::ClosedWaiting => self.close().await?,
            ServerFault::DroppedWaiting => {
                let new = Provider::new(config(self.fault, &self.codex))?;
                // The one before is dropped.
                self.provider = new.with_session_store(self.sessions.clone());
            }
            other => bail!("{other:?} does not come while codex waits"),
        }
        // Half of the next turns begin while it dies.
        let dies = matches!(
            self.fault,
            ServerFault::KilledWaiting
                | ServerFault::TerminatedWaiting
                | ServerFault::SupervisorKilledWaiting
                | ServerFault::DroppedWaiting
        );
        if dies && random.unit() < 0.5 {
            until("it is gone", || Ok(!is_running(codex))).await?;
        }
        Ok(())
    }

    /// Closes the provider. Nothing waits then.
    async fn close(&self) -> Result<()> {
        self.provider.close().await;
        let left = processes_below(&self.folder.canonicalize()?);
        ensure!(left.is_empty(), "closed, and left: {left:?}");
        let metrics = self.provider.metrics();
        ensure!(
            metrics.turns_open == 0 && metrics.turns_waiting == 0,
            "turns are open: {metrics:?}"
        );
        Ok(())
    }

    /// What codex does from here on.
    fn write_script(&self, fault: ServerFault) -> Result<()> {
        script(fault).write_to(&self.workspace)
    }

    /// The codex that was started last.
    fn codex(&self) -> Result<i32> {
        strike::codex(&self.workspace)
    }

    /// How many were started that stay.
    fn codexes(&self) -> Result<usize> {
        let stays = |argv: &[String]| argv.iter().any(|word| word == "app-server");
        let calls = calls(&self.workspace)?;
        Ok(calls.iter().filter(|call| stays(&call.argv)).count())
    }

    /// Codex's record of the conversation.
    fn record(&self) -> Result<PathBuf> {
        let thread = self.thread.as_ref().context("there is a conversation")?;
        let name = format!(".fake-codex-rollout-{thread}.jsonl");
        Ok(self.workspace.join(name))
    }
}

/// What codex does in turns with this fault.
pub fn script(fault: ServerFault) -> ServerScript {
    let mut script = ServerScript::default();
    if let Some(steps) = fault.opening() {
        script = script
            .answer("thread/start", steps.clone())
            .answer("thread/resume", steps);
    }
    if let Some(steps) = fault.prompted() {
        script = script.answer("turn/start", steps);
    }
    script
}

/// Waits for something that takes no longer than [`GONE`].
async fn until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !done()? {
        ensure!(began.elapsed() < GONE, "waited in vain until {what}");
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
