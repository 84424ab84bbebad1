//! A fleet under random faults: `fleet-chaos CODEX TURNS [SEED]`.
//!
//! Three hosts, each the program with `serve`, share some conversations in a PostgreSQL of this program's own, which each
//! of them reaches through a proxy. Turns with tools, with answers in pieces and with pauses go to one host or another, and
//! at random moments inside of them a host, a supervisor or both are killed, a host is stopped for longer than its lease,
//! PostgreSQL is killed or hangs, or a network is cut. A host and a PostgreSQL that were killed are started again.
//!
//! In the end, each turn that was told complete must be in the record of its conversation, whole, once and in order; nobody
//! may have written but the host that had the lease; each turn must have ended in time, in a way that may be tried again;
//! and nothing may run any more. At least three of ten turns must have been ended by a fault, or this has shown too little.
//!
//! The same seed makes the same choices. When they take effect depends on the machine.

mod fault;
mod judge;
mod prompt;
mod proxy;
mod site;
mod turned;
mod worker;

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider_tests::census::descendants;
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::wait::is_running;

use self::site::Site;
use self::worker::Worker;

/// How many conversations there are.
const CONVERSATIONS: usize = 7;

/// How long what a killed host has left may take to end: the longest tool, and some seconds of grace.
const GONE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: fleet-chaos CODEX TURNS [SEED]";
    let codex = RealCodex::at(PathBuf::from(args.next().context(usage)?))?;
    let turns: usize = args.next().context(usage)?.parse().context(usage)?;
    let seed = args.next().map_or(Ok(1), |seed| seed.parse());
    let seed: u64 = seed.context(usage)?;
    // What a killed host and its supervisor leave becomes a child of this process, wherever it has gone.
    // SAFETY: takes numbers only.
    let adopts = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } == 0;
    ensure!(
        adopts,
        "it cannot be told what is left running: {}",
        std::io::Error::last_os_error()
    );

    let began = Instant::now();
    let site = Site::new(&codex, CONVERSATIONS, seed)?;
    let next = AtomicUsize::new(0);
    let all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONVERSATIONS)
            .map(|conversation| {
                let random = Random(seed << 8 | conversation as u64);
                let worker = Worker::new(&site, conversation, random);
                let next = &next;
                scope.spawn(move || worker.work(scope, next, turns))
            })
            .collect();
        let all = workers.into_iter().map(|worker| {
            let done = worker.join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        all.collect::<Result<Vec<_>>>()
    })?;
    let ran = began.elapsed();

    let strikes = site.strikes();
    let mut problems = site.problems();
    let all: Vec<_> = all.into_iter().flatten().collect();
    problems.extend(judge::judge(&site, &all, CONVERSATIONS)?);
    problems.extend(site.close()?);
    problems.extend(left_running());

    println!(
        "{} turns of codex {} in {CONVERSATIONS} conversations on {} hosts, seed {seed}, {} s; {} strikes",
        all.len(),
        codex.version,
        site::HOSTS.len(),
        ran.as_secs(),
        strikes.len(),
    );
    let ended = turned::print_table(&all, &strikes);
    let few = turns * 3 / 10;
    if ended < few {
        problems.push(format!(
            "only {ended} turns were ended by a fault, and not {few}"
        ));
    }
    for problem in &problems {
        println!("WRONG: {problem}");
    }
    ensure!(problems.is_empty(), "{} things are wrong", problems.len());
    println!(
        "each turn that was told complete is in its record, whole, once and in order; nobody wrote without the lease; nothing is left"
    );
    Ok(())
}

/// What still runs of all that was started.
fn left_running() -> Vec<String> {
    let left = || {
        let all = descendants(std::process::id().cast_signed());
        all.into_iter().filter(|pid| is_running(*pid))
    };
    let began = Instant::now();
    while left().next().is_some() && began.elapsed() < GONE {
        std::thread::sleep(Duration::from_millis(50));
    }
    let shown = |pid: i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid} is left running: {}", line.replace('\0', " "))
    };
    left().map(shown).collect()
}
