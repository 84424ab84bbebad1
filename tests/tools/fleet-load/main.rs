//! What a fleet's statements cost: `fleet-load [SECONDS [prepared]]`.
//!
//! Starts a PostgreSQL of its own and has 1, 8, 32 and 64 turns at once, each over and over for so many seconds: take the
//! lease, keep 6 KB of the record without waiting for the disk, keep 3 KB more and release, waiting for it. Eight turns
//! share a store with eight connections, as those of one host do. With `prepared` the server keeps the statements. Then what a
//! fleet adds to a whole turn, beside turns whose conversation is in files, and how long a restore of 10 MB takes.
//!
//! A last argument `--json=FILE` has the figures written there too.

mod whole_turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use plexum_openai_provider::SessionEntry;
use plexum_openai_provider::fleet::postgres::{PostgresStore, Settings};
use plexum_openai_provider::fleet::store::{
    Acquisition, Change, FleetStore as _, Owner, RecordMark, StoredThread, Then,
};
use plexum_openai_provider_tests::postgres::Postgres;
use plexum_openai_provider_tests::random::Random;
use serde_json::{Value, json};

const TURNS_AT_ONCE: [usize; 4] = [1, 8, 32, 64];
const A_HOSTS_TURNS: usize = 8;
const LASTS: Duration = Duration::from_secs(20);

/// How long each statement of a turn took.
#[derive(Default)]
struct Took {
    acquire: Vec<Duration>,
    tail: Vec<Duration>,
    last: Vec<Duration>,
}

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let json = args
        .pop_if(|last| last.starts_with("--json="))
        .map(|last| last.replacen("--json=", "", 1));
    let seconds = args.first().map_or(Ok(5), |seconds| seconds.parse());
    let seconds = seconds.context("usage: fleet-load [SECONDS [prepared]] [--json=FILE]")?;
    let server = Postgres::start("fleet-load").context("there is no PostgreSQL")?;
    let mut settings = server.settings();
    settings.prepared = args.get(1).is_some_and(|word| word == "prepared");
    let runtime = tokio::runtime::Runtime::new()?;
    let statements = runtime.block_on(measure(&settings, Duration::from_secs(seconds)))?;
    let turns = runtime.block_on(whole_turns::measure(&settings))?;
    let figures = json!({ "statements": statements, "whole_turns": turns });
    if let Some(file) = json {
        std::fs::write(&file, format!("{figures:#}\n"))
            .with_context(|| format!("{file} cannot be written"))?;
    }
    Ok(())
}

async fn measure(settings: &Settings, lasts: Duration) -> Result<Value> {
    PostgresStore::init(settings, None).await?;
    println!("turns at once   turns/s   p50 ms: acquire   tail   last+release");
    let mut figures = Vec::new();
    for at_once in TURNS_AT_ONCE {
        let (turns, took) = load(settings, at_once, lasts).await?;
        #[allow(
            clippy::cast_precision_loss,
            reason = "numbers of turns are far from 2^53"
        )]
        let rate = turns as f64 / lasts.as_secs_f64();
        let [acquire, tail, last] = [took.acquire, took.tail, took.last].map(median_ms);
        println!("{at_once:>13} {rate:>9.0} {acquire:>17.2} {tail:>6.2} {last:>14.2}");
        figures.push(json!({
            "turns_at_once": at_once,
            "turns_per_second": rate,
            "acquire_p50_ms": acquire,
            "tail_p50_ms": tail,
            "last_p50_ms": last,
        }));
    }
    Ok(Value::Array(figures))
}

async fn load(settings: &Settings, at_once: usize, lasts: Duration) -> Result<(usize, Took)> {
    let mut stores = Vec::new();
    for _ in 0..at_once.div_ceil(A_HOSTS_TURNS) {
        stores.push(Arc::new(PostgresStore::connect(settings).await?));
    }
    let until = Instant::now() + lasts;
    let mut hosts = Vec::new();
    for (number, store) in stores.iter().cycle().take(at_once).enumerate() {
        hosts.push(tokio::spawn(turns(
            Arc::clone(store),
            at_once,
            number,
            until,
        )));
    }
    let mut all = Took::default();
    for host in hosts {
        let took = host.await??;
        all.acquire.extend(took.acquire);
        all.tail.extend(took.tail);
        all.last.extend(took.last);
    }
    Ok((all.last.len(), all))
}

/// Turns of some conversations, one after the other.
async fn turns(
    store: Arc<PostgresStore>,
    at_once: usize,
    number: usize,
    until: Instant,
) -> Result<Took> {
    let mut random = Random(number as u64);
    let mut took = Took::default();
    // Hardly compressed, unlike most of a record.
    let bytes: Vec<u8> = (0..6000)
        .map(|_| random.number().to_le_bytes()[0])
        .collect();
    let (tail, last) = (&bytes[..], bytes.get(..3000).unwrap_or_default());
    while Instant::now() < until {
        let key = format!("load/{at_once}/{number}/{}", random.number() % 20);
        let owner = Owner {
            id: format!("{:016x}{:016x}", random.number(), random.number()),
            host: format!("host {}", number / A_HOSTS_TURNS),
        };
        let began = Instant::now();
        let Acquisition::Held(held) = store.acquire(&key, &owner, LASTS).await? else {
            bail!("{key} is busy");
        };
        took.acquire.push(began.elapsed());
        let record = held.thread.and_then(|thread| thread.record);
        let kept = record.map_or(0, |record| record.bytes) + tail.len() as u64;

        let began = Instant::now();
        let change = Change {
            thread: Some(&thread(kept)),
            tail,
            durable: false,
            then: Then::Renew(LASTS),
        };
        store.commit(&held.lease, change).await?;
        took.tail.push(began.elapsed());

        let began = Instant::now();
        let change = Change {
            thread: Some(&thread(kept + last.len() as u64)),
            tail: last,
            durable: true,
            then: Then::Release,
        };
        store.commit(&held.lease, change).await?;
        took.last.push(began.elapsed());
    }
    Ok(took)
}

fn thread(bytes: u64) -> StoredThread {
    let thread_id = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
    StoredThread {
        entry: SessionEntry::new(thread_id),
        record: Some(RecordMark {
            path: format!("sessions/2026/11/26/rollout-2026-11-26T00-00-00-{thread_id}.jsonl"),
            bytes,
            digest: [7; 32],
            codex_version: "0.169.0".into(),
        }),
    }
}

fn median_ms(mut took: Vec<Duration>) -> f64 {
    took.sort();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    median.as_secs_f64() * 1e3
}
