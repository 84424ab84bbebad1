//! What turns cost in memory: `memory open CODEX TURNS SECONDS`, `memory sequence CODEX TURNS`, `memory stream CODEX MIB`,
//! `memory address-space CODEX TURNS`, `memory hostile CODEX MILLISECONDS COMPONENT PROMPT`.
//!
//! `open`: that many turns open at once, on a fake codex that says nothing for so many seconds. All must complete.
//! `sequence`: that many turns, one after the other, in one workspace. The memory at the end may be 1.2 times that
//! after the first tenth.
//! `stream`: one turn in which codex prints that much. The memory may at no moment be 64 MiB more than before.
//! `address-space`: that many turns open at once. Measures the address space, which `ulimit -v` limits.
//! `hostile`: one turn of the hostile component with that prompt, whose caller takes the first event after so many
//! milliseconds. Measures the most memory that the process had, and how long another task of the same thread waited.
//!
//! A last argument `--json=FILE` has the figures written there too.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use plexum_openai_provider::{
    Config, Event, GuestLimits, Limits, Provider, Request, SessionFiles, StopReason, Turn,
};
use plexum_openai_provider_tests::census::{Census, kib, parent_of, processes_below};
use plexum_openai_provider_tests::fake_codex::{Script, Step};
use serde_json::{Value, json};
use tempfile::TempDir;

const USAGE: &str = "usage: memory open CODEX TURNS SECONDS, memory sequence CODEX TURNS, memory stream CODEX MIB, memory address-space CODEX TURNS, or memory hostile CODEX MILLISECONDS COMPONENT PROMPT; and --json=FILE last";

/// How much more memory than before a turn may take, however much codex prints.
const MOST_FOR_A_STREAM_KIB: u64 = 64 * 1024;

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let json = args
        .pop_if(|last| last.starts_with("--json="))
        .map(|last| last.replacen("--json=", "", 1));
    let figures = measure(args.into_iter())?;
    if let Some(file) = json {
        std::fs::write(&file, format!("{figures}\n"))
            .with_context(|| format!("{file} cannot be written"))?;
    }
    Ok(())
}

fn measure(mut args: impl Iterator<Item = String>) -> Result<Value> {
    let mode = args.next().context(USAGE)?;
    let codex = std::path::absolute(args.next().context(USAGE)?)?;
    let turns: usize = args.next().context(USAGE)?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match mode.as_str() {
        "open" => {
            let seconds = args.next().context(USAGE)?.parse()?;
            runtime.block_on(open(&codex, turns, seconds))
        }
        "sequence" => runtime.block_on(sequence(&codex, turns)),
        // The number is not one of turns here.
        "stream" => runtime.block_on(stream(&codex, turns as u64)),
        "address-space" => runtime.block_on(address_space(&codex, turns)),
        "hostile" => {
            let component = args.next().context(USAGE)?;
            let component =
                std::fs::read(&component).with_context(|| format!("{component} cannot be read"))?;
            let prompt = args.next().context(USAGE)?;
            // Nor here.
            let pause = Duration::from_millis(turns as u64);
            runtime.block_on(hostile(&codex, pause, &component, &prompt))
        }
        _ => bail!(USAGE),
    }
}

/// What turns need besides a workspace: a state of their own.
fn sessions(state: &TempDir) -> SessionFiles {
    SessionFiles::default().with_state_folder(state.path())
}

fn provider(codex: &Path, turns: usize, state: &TempDir) -> Result<Provider> {
    let provider = Provider::new(Config {
        binary: Some(codex.to_owned()),
        limits: Limits {
            turns: u32::try_from(turns)?,
            // A thousand programs do not start at once on a small machine.
            start_seconds: 600,
            end_seconds: 600,
            ..Limits::default()
        },
        ..Config::default()
    })?;
    Ok(provider.with_session_store(sessions(state)))
}

async fn open(codex: &Path, turns: usize, seconds: u64) -> Result<Value> {
    raise_descriptor_limit()?;
    let state = TempDir::new()?;
    let provider = provider(codex, turns + 1, &state)?;
    let root = TempDir::new()?;
    let silence = Duration::from_secs(seconds);
    let begin = |number: usize| begin(&provider, root.path(), number, silence);
    // What there is once, such as the threads that sync files, is there after the first.
    let mut open = vec![begin(0)?];
    until_open(&mut open).await?;
    let (first, own_first) = (Census::take()?, proportional("self")?);
    for number in 1..=turns {
        open.push(begin(number)?);
    }
    until_open(open.iter_mut().skip(1)).await?;
    let (all, own_all) = (Census::take()?, proportional("self")?);
    let others: Vec<i32> = processes_below(&root.path().canonicalize()?)
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    let supervisors = supervisors_of(&others)?;
    for turn in &mut open {
        ensure!(
            end_of(turn).await? == StopReason::EndTurn,
            "a turn did not complete"
        );
    }
    ensure!(
        provider.metrics().turns_open == 0,
        "turns are open at the end"
    );
    #[allow(
        clippy::cast_precision_loss,
        reason = "sizes of memory are far from 2^53 KiB"
    )]
    let each = |kib: u64| kib as f64 / turns as f64;
    println!(
        "{turns} turns open at once for {seconds} s beside one; all completed\n\
         this process: {own_first} KiB with one, {own_all} KiB with all: {:.1} KiB a turn ({:.1} if the pages that turns \
         share are counted for each), {:.1} descriptors a turn\n\
         supervisors, one a turn: {:.1} KiB each",
        each(own_all.saturating_sub(own_first)),
        each(all.resident_kib.saturating_sub(first.resident_kib)),
        each((all.descriptors.len() - first.descriptors.len()) as u64),
        each(supervisors),
    );
    Ok(json!({
        "turns": turns,
        "kib_a_turn": each(own_all.saturating_sub(own_first)),
        "resident_kib_a_turn": each(all.resident_kib.saturating_sub(first.resident_kib)),
        "supervisor_kib": each(supervisors),
    }))
}

/// Begins a turn in a workspace of its own, whose codex says nothing for so long.
fn begin(provider: &Provider, root: &Path, number: usize, silence: Duration) -> Result<Turn> {
    let workspace = root.join(number.to_string());
    std::fs::create_dir(&workspace)?;
    let steps = [
        Step::ThreadStarted,
        Step::TurnStarted,
        Step::Pause {
            millis: u64::try_from(silence.as_millis())?,
        },
        Step::Echo,
        Step::TurnCompleted,
    ];
    Script::new().call(steps).write_to(&workspace)?;
    Ok(provider.turn(workspace, Request::prompt("hello")))
}

/// How long the turns are open whose address space is measured.
const SHORT_SILENCE: Duration = Duration::from_secs(2);

async fn address_space(codex: &Path, turns: usize) -> Result<Value> {
    let state = TempDir::new()?;
    let provider = provider(codex, turns, &state)?;
    let root = TempDir::new()?;
    let open = (0..turns).map(|number| begin(&provider, root.path(), number, SHORT_SILENCE));
    let mut open = open.collect::<Result<Vec<_>>>()?;
    until_open(&mut open).await?;
    let peak = kib(STATUS, "VmPeak:")?;
    for turn in &mut open {
        ensure!(
            end_of(turn).await? == StopReason::EndTurn,
            "a turn did not complete"
        );
    }
    let limit = limit_of_address_space()?;
    println!("{turns} turns open at once\naddress space: {peak} KiB, limit: {limit:?}");
    Ok(json!({ "turns": turns, "peak_kib": peak, "limit_kib": limit }))
}

/// What `ulimit -v` says, in KiB.
fn limit_of_address_space() -> Result<Option<u64>> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call gets a pointer to a limit that lives.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
    ensure!(
        known,
        "the limit of the address space cannot be read: {}",
        std::io::Error::last_os_error()
    );
    Ok((limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur / 1024))
}

/// Takes the first event of each: its codex runs then.
async fn until_open(turns: impl IntoIterator<Item = &mut Turn>) -> Result<()> {
    for turn in turns {
        match turn.next().await {
            Some(Event::MessageStart { .. }) => {}
            other => bail!("a turn began with {other:?}"),
        }
    }
    Ok(())
}

async fn end_of(turn: &mut Turn) -> Result<StopReason> {
    loop {
        if let Event::MessageEnd {
            stop_reason,
            failure,
            ..
        } = turn.next().await.context("a turn had no end")?
        {
            ensure!(failure.is_none(), "a turn failed: {failure:?}");
            return Ok(stop_reason);
        }
    }
}

async fn sequence(codex: &Path, turns: usize) -> Result<Value> {
    let state = TempDir::new()?;
    let provider = provider(codex, 1, &state)?;
    let workspace = TempDir::new()?;
    let first = (turns / 10).max(1);
    let mut after_first = None;
    for number in 1..=turns {
        let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
        end_of(&mut turn).await?;
        if number == first {
            after_first = Some(Census::take()?);
        }
    }
    let after_first = after_first.context("there were turns")?;
    let after = Census::take()?;
    println!(
        "{turns} turns, one after the other\n\
         memory: {} KiB after {first} turns, {} KiB at the end\n\
         descriptors: {} after {first} turns, {} at the end",
        after_first.resident_kib,
        after.resident_kib,
        after_first.descriptors.len(),
        after.descriptors.len(),
    );
    after.check_memory(&after_first)?;
    ensure!(
        after.descriptors.len() <= after_first.descriptors.len(),
        "descriptors have leaked: {:?}",
        after.descriptors
    );
    Ok(json!({
        "turns": turns,
        "after_first_kib": after_first.resident_kib,
        "after_all_kib": after.resident_kib,
    }))
}

async fn stream(codex: &Path, mib: u64) -> Result<Value> {
    let state = TempDir::new()?;
    let provider = Provider::new(Config {
        binary: Some(codex.to_owned()),
        guest: GuestLimits {
            events: u32::MAX,
            event_mib: u32::try_from(mib)? * 2,
            ..GuestLimits::default()
        },
        limits: Limits {
            output_mib: u32::try_from(mib)? * 2,
            ..Limits::default()
        },
        ..Config::default()
    })?;
    let provider = provider.with_session_store(sessions(&state));
    // What there is once is there after a short one.
    let workspace = TempDir::new()?;
    end_of(&mut provider.turn(workspace.path(), Request::prompt("hello"))).await?;
    let flood = Step::Flood {
        bytes: mib * 1024 * 1024,
        line_len: 2000,
    };
    let steps = [
        Step::ThreadStarted,
        Step::TurnStarted,
        flood,
        Step::TurnCompleted,
    ];
    let workspace = TempDir::new()?;
    Script::new().call(steps).write_to(workspace.path())?;
    let before = Census::take()?.resident_kib;
    let mut turn = provider.turn(workspace.path(), Request::prompt("hello"));
    ensure!(
        end_of(&mut turn).await? == StopReason::EndTurn,
        "the turn did not complete"
    );
    let peak = peak_kib()?;
    println!("{mib} MiB of lines in one turn\nmemory: {before} KiB before, {peak} KiB at most");
    ensure!(
        peak <= before + MOST_FOR_A_STREAM_KIB,
        "a stream takes more than {MOST_FOR_A_STREAM_KIB} KiB"
    );
    Ok(json!({ "mib": mib, "before_kib": before, "peak_kib": peak }))
}

/// How many events of a hostile turn are taken before it is dropped.
const EVENTS_OF_A_HOSTILE_TURN: u64 = 20;

async fn hostile(codex: &Path, pause: Duration, component: &[u8], prompt: &str) -> Result<Value> {
    let config = Config {
        binary: Some(codex.to_owned()),
        guest: GuestLimits {
            memory_mib: 1024,
            ..GuestLimits::default()
        },
        ..Config::default()
    };
    let provider = Provider::with_component(config, component)?;
    // What there is once is there after a small one.
    let workspace = TempDir::new()?;
    let mut small = provider.turn(workspace.path(), Request::prompt("input:1000"));
    while small.next().await.is_some() {}
    // The compiler took more memory than a turn does. From here on, the peak is that of the turn.
    std::fs::write("/proc/self/clear_refs", "5").context("the peak cannot be reset")?;
    let before = Census::take()?.resident_kib;
    let mut turn = provider.turn(workspace.path(), Request::prompt(prompt));
    let mut longest = Duration::ZERO;
    let mut since = Instant::now();
    let mut other = tokio::time::interval(Duration::from_millis(1));
    let take = async {
        tokio::time::sleep(pause).await;
        let mut events = 0_u64;
        while let Some(event) = turn.next().await {
            events += 1;
            if let Event::MessageEnd { failure, .. } = event {
                return (events, failure.map(|failure| failure.message));
            }
            if events == EVENTS_OF_A_HOSTILE_TURN {
                break;
            }
        }
        (events, None)
    };
    tokio::pin!(take);
    let (events, failure) = loop {
        tokio::select! {
            biased;
            _ = other.tick() => {
                longest = longest.max(since.elapsed());
                since = Instant::now();
            }
            taken = &mut take => break taken,
        }
    };
    let longest = longest.max(since.elapsed());
    let peak = peak_kib()?;
    println!(
        "a hostile turn: {events} events taken, ended by {failure:?}\n\
         memory: {before} KiB before, {peak} KiB at most\n\
         another task of the same thread waited {longest:?} at most"
    );
    Ok(json!({
        "events": events,
        "failure": failure,
        "before_kib": before,
        "peak_kib": peak,
        "longest_wait_ms": u64::try_from(longest.as_millis())?,
    }))
}

/// What this process has its figures in.
const STATUS: &str = "/proc/self/status";

/// The most memory that this process ever had.
fn peak_kib() -> Result<u64> {
    kib(STATUS, "VmHWM:")
}

/// The memory of the parents of these processes, in KiB.
fn supervisors_of(codexes: &[i32]) -> Result<u64> {
    let parents = codexes.iter().map(|codex| parent_of(*codex));
    parents
        .map(|parent| proportional(&parent?.to_string()))
        .sum()
}

/// The memory of a process, in KiB: a page that is mapped more than once counts as its share each time. So what all turns
/// map of the component's machine code and data is counted once.
fn proportional(pid: &str) -> Result<u64> {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// Each turn needs a few descriptors, and the usual limit is 1024.
fn raise_descriptor_limit() -> Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to a limit that lives.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    ensure!(
        raised,
        "the limit of descriptors cannot be raised: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
