//! The hosts, their PostgreSQL, and what comes over them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use plexum_openai_provider_tests::attack::supervisor_of;
use plexum_openai_provider_tests::census::{descendants, processes_below};
use plexum_openai_provider_tests::fleet_database::FleetDatabase;
use plexum_openai_provider_tests::fleet_process::{FleetProcess, LEASE};
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::real_codex::RealCodex;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::proxy::{Network, Proxy};

/// Their names.
pub const HOSTS: [&str; 3] = ["a", "b", "c"];

/// A host that nothing comes over, which has none of the conversations until it is asked in the end.
pub const FRESH: &str = "fresh";

/// A host and its way to PostgreSQL.
pub struct Host {
    /// It.
    pub process: FleetProcess,
    /// How it keeps codex.
    pub transport: &'static str,
    proxy: Proxy,
    /// What is wrong with it now.
    trouble: Mutex<Option<Fault>>,
}

/// A fault that has come over something.
#[derive(Debug, Clone)]
pub struct Strike {
    /// Which one.
    pub fault: Fault,
    /// The turn that it was meant for.
    pub turn: usize,
    /// The host of that turn.
    pub host: usize,
    /// When it began.
    pub from: Instant,
    /// When it was over.
    pub until: Option<Instant>,
}

/// All of it.
pub struct Site {
    /// The hosts.
    pub hosts: Vec<Host>,
    codex: RealCodex,
    // Ends after the hosts.
    model: MockModel,
    database: Mutex<Option<FleetDatabase>>,
    /// What is wrong with PostgreSQL now.
    outage: Mutex<Option<Fault>>,
    strikes: Mutex<Vec<Strike>>,
    problems: Mutex<Vec<String>>,
}

impl Site {
    /// Three hosts that share so many conversations.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(codex: &RealCodex, conversations: usize, seed: u64) -> Result<Self> {
        let model = MockModel::start_with(Options::default())?;
        let names = [&HOSTS[..], &[FRESH]].concat();
        let database = FleetDatabase::start("fleet-chaos", &names);
        let database = database.context("there is no PostgreSQL")?;
        let mut hosts = Vec::new();
        for (number, name) in HOSTS.into_iter().enumerate() {
            let proxy = Proxy::new(&socket(&database))?;
            let url = format!(
                "postgres://{}@127.0.0.1:{}/agents?sslmode=disable",
                FleetDatabase::login(name),
                proxy.port
            );
            // One of each, and one that the seed chooses.
            let is_warm = (number as u64 + seed % 2).is_multiple_of(2);
            let transport = if is_warm { "app-server" } else { "exec" };
            let process = FleetProcess::new(name, codex, &model, &url, &keys(transport))?;
            for conversation in 0..conversations {
                std::fs::create_dir(workspace(&process, conversation))?;
            }
            hosts.push(Host {
                process,
                transport,
                proxy,
                trouble: Mutex::default(),
            });
        }
        Ok(Site {
            hosts,
            codex: codex.clone(),
            model,
            database: Mutex::new(Some(database)),
            outage: Mutex::default(),
            strikes: Mutex::default(),
            problems: Mutex::default(),
        })
    }

    /// A host that has nothing of any conversation.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn fresh_host(&self) -> Result<FleetProcess> {
        let database = lock(&self.database);
        let url = database.as_ref().context("it runs")?.url(FRESH);
        FleetProcess::new(FRESH, &self.codex, &self.model, &url, &keys("exec"))
    }

    /// Asks the database.
    ///
    /// # Errors
    /// As the question does.
    pub fn ask<T>(&self, ask: impl FnOnce(&FleetDatabase) -> Result<T>) -> Result<T> {
        ask(lock(&self.database).as_ref().context("it runs")?)
    }

    /// Whether PostgreSQL is as it should be.
    pub fn has_database(&self) -> bool {
        lock(&self.outage).is_none()
    }

    /// What is wrong with this host now.
    pub fn trouble(&self, host: usize) -> Option<Fault> {
        self.hosts.get(host).and_then(|host| *lock(&host.trouble))
    }

    /// Where the turns of this conversation work on this host.
    pub fn workspace(&self, host: usize, conversation: usize) -> PathBuf {
        let host = self.hosts.get(host);
        host.map(|host| workspace(&host.process, conversation))
            .unwrap_or_default()
    }

    /// Has this fault come over the turn of this number, until it is over. Whether it did: only one comes over a host, or
    /// PostgreSQL, at a time.
    ///
    /// # Errors
    /// When what was to be ended or started again cannot be.
    pub fn strike(
        &self,
        fault: Fault,
        turn: usize,
        host: usize,
        workspace: &Path,
        mut random: Random,
    ) -> Result<bool> {
        let there = self.hosts.get(host).context("a host")?;
        let claimed = if fault.is_everywhere() {
            &self.outage
        } else {
            &there.trouble
        };
        {
            let mut claimed = lock(claimed);
            if claimed.is_some() {
                return Ok(false);
            }
            *claimed = Some(fault);
        }
        let number = {
            let mut strikes = lock(&self.strikes);
            strikes.push(Strike {
                fault,
                turn,
                host,
                from: Instant::now(),
                until: None,
            });
            strikes.len() - 1
        };
        let struck = self.come_over(fault, there, workspace, &mut random);
        if let Some(strike) = lock(&self.strikes).get_mut(number) {
            strike.until = Some(Instant::now());
        }
        *lock(claimed) = None;
        struck
    }

    fn come_over(
        &self,
        fault: Fault,
        host: &Host,
        workspace: &Path,
        random: &mut Random,
    ) -> Result<bool> {
        // Longer than any lease that was given before.
        let long =
            LEASE + Duration::from_millis(500) + Duration::from_secs(3).mul_f64(random.unit());
        let process = &host.process;
        match fault {
            Fault::HostKilled => {
                process.kill();
                process.start()?;
            }
            Fault::SupervisorKilled => {
                let Some(supervisor) = supervisor_in(workspace) else {
                    return Ok(false);
                };
                kill(supervisor);
            }
            Fault::BothKilled => {
                let below = descendants(process.pid());
                let supervisors = below
                    .into_iter()
                    .filter(|pid| supervisor_of(*pid).is_ok_and(|found| found == *pid));
                supervisors.for_each(kill);
                process.kill();
                process.start()?;
            }
            Fault::HostStopped | Fault::AllStopped => {
                if fault == Fault::AllStopped {
                    process.stop_all();
                } else {
                    process.stop();
                }
                std::thread::sleep(long);
                process.go_on();
            }
            Fault::DatabaseKilled => {
                let mut database = lock(&self.database);
                let server = &mut database.as_mut().context("it runs")?.server;
                server.kill();
                // From no time to longer than a lease.
                std::thread::sleep(long.mul_f64(random.unit()));
                server.start_again();
            }
            Fault::DatabaseHangs => {
                let database = lock(&self.database);
                let server = &database.as_ref().context("it runs")?.server;
                server.stop();
                std::thread::sleep(long);
                server.go_on();
            }
            Fault::NetworkCut => {
                let cuts = [Network::Broken, Network::Silent];
                let cut = random.choose(&cuts).copied();
                host.proxy.set(cut.unwrap_or(Network::Broken));
                std::thread::sleep(long);
                host.proxy.set(Network::Whole);
            }
        }
        Ok(true)
    }

    /// Notes that something is wrong.
    pub fn note_problem(&self, problem: String) {
        eprintln!("WRONG: {problem}");
        lock(&self.problems).push(problem);
    }

    /// What was noted.
    pub fn problems(&self) -> Vec<String> {
        lock(&self.problems).clone()
    }

    /// All that has come over anything, in order.
    pub fn strikes(&self) -> Vec<Strike> {
        lock(&self.strikes).clone()
    }

    /// Has everything end, and returns what is wrong with that.
    ///
    /// # Errors
    /// When a host has ended before.
    pub fn close(&self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for host in &self.hosts {
            let ended = host.process.close()?;
            if !ended.success() {
                problems.push(format!("host {} ended with {ended}", host.process.name));
            }
        }
        *lock(&self.database) = None;
        Ok(problems)
    }
}

/// The supervisor of the codex that works here, if one does.
fn supervisor_in(workspace: &Path) -> Option<i32> {
    let below = processes_below(&workspace.canonicalize().ok()?);
    below
        .into_iter()
        .find_map(|(pid, _)| supervisor_of(pid).ok())
}

fn kill(pid: i32) {
    // SAFETY: takes numbers only. It may have ended since it was found.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn keys(transport: &str) -> Value {
    json!({
        "transport": transport,
        "limits": { "busy_seconds": 25, "turn_seconds": 60 },
    })
}

fn workspace(host: &FleetProcess, conversation: usize) -> PathBuf {
    host.workspace
        .path()
        .join(format!("conversation-{conversation}"))
}

fn socket(database: &FleetDatabase) -> PathBuf {
    let server = &database.server;
    server.socket().join(format!(".s.PGSQL.{}", server.port()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
