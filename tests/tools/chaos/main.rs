//! Turns with random faults: `chaos PROGRAM CODEX HOSTILE.wasm TURNS AT_ONCE [SEED]`.
//!
//! Most turns run in this process. Where the fault meets a process as a whole, PROGRAM runs the turn, with `say`.
//!
//! Every turn must have one end, of a kind that its fault allows, before its clocks run out twice; and must leave no
//! process, descriptor or temporary file. Where the fault is about the conversation, another turn must go on with it. The memory at the end may be 1.2 times that after the first tenth.

mod bench;
mod fault;
mod say;
mod strike;

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider_tests::census::Census;
use plexum_openai_provider_tests::random::Random;
use tokio::task::JoinSet;

use self::bench::Bench;
use self::fault::Fault;

/// With fewer turns than this the memory says nothing: each fault needs its own, once.
const FEW_TURNS: usize = 1000;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: chaos PROGRAM CODEX HOSTILE.wasm TURNS AT_ONCE [SEED]";
    let program = std::path::absolute(args.next().context(usage)?)?;
    let codex = std::path::absolute(args.next().context(usage)?)?;
    let hostile = std::fs::read(args.next().context(usage)?)?;
    let turns: usize = args.next().context(usage)?.parse()?;
    let at_once: usize = args.next().context(usage)?.parse()?;
    let seed: u64 = args.next().map_or(Ok(1), |seed| seed.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let bench = Rc::new(Bench::new(&program, &codex, &hostile)?);
    tokio::task::LocalSet::new().block_on(&runtime, run(bench, turns, at_once, seed))
}

async fn run(bench: Rc<Bench>, turns: usize, at_once: usize, seed: u64) -> Result<()> {
    let mut random = Random(seed);
    // What each provider makes once, such as the image of the component's memory, is there from here on.
    for fault in [
        Fault::None,
        Fault::ComponentTraps,
        Fault::DiskFull,
        Fault::ProgramReplaced,
    ] {
        bench.turn(fault, Random(seed)).await?;
    }
    let before = Census::take()?;
    let first = (turns / 10).max(at_once);
    let (mut open, mut begun, mut done) = (JoinSet::new(), 0, 0);
    let mut had: BTreeMap<Fault, usize> = BTreeMap::new();
    let (mut after_first, mut failed) = (None, 0);
    while done < turns {
        while begun < turns && open.len() < at_once {
            // First each fault once, in any run.
            let fault = match Fault::ALL.get(begun) {
                Some(fault) => *fault,
                None => *random.choose(Fault::ALL).context("there are faults")?,
            };
            *had.entry(fault).or_default() += 1;
            let (bench, random) = (Rc::clone(&bench), Random(random.number()));
            open.spawn_local(async move { bench.turn(fault, random).await });
            begun += 1;
        }
        let ended = open.join_next().await.context("a turn is open")??;
        if let Err(error) = ended {
            // The others are looked at all the same: one run shows all that is wrong.
            eprintln!("{error:#}");
            failed += 1;
        }
        done += 1;
        if done == first {
            after_first = Some(Census::take()?);
        }
    }
    let after = Census::take()?;
    let after_first = after_first.unwrap_or_else(|| after.clone());
    println!("{done} turns, {at_once} at once, seed {seed}; of each fault:");
    for (fault, count) in had {
        println!("  {count:5} {fault:?}");
    }
    println!(
        "descriptors: {} before, {} after",
        before.descriptors.len(),
        after.descriptors.len()
    );
    println!(
        "memory: {} KiB after {first} turns, {} KiB at the end",
        after_first.resident_kib, after.resident_kib
    );
    for metrics in bench.metrics() {
        ensure!(
            metrics.turns_open == 0 && metrics.turns_waiting == 0,
            "turns are open: {metrics:?}"
        );
        println!("{}", serde_json::to_string(&metrics)?);
    }
    ensure!(failed == 0, "{failed} of {done} turns have failed");
    ensure!(
        after.descriptors.len() <= before.descriptors.len(),
        "descriptors have leaked: {:?} became {:?}",
        before.descriptors,
        after.descriptors
    );
    if turns >= FEW_TURNS {
        after.check_memory(&after_first)?;
    }
    Ok(())
}
