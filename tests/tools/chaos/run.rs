//! Many cases at once, each with a random fault, and what there is before and after all of them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::AddAssign;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider_tests::census::{Census, own_children};
use plexum_openai_provider_tests::random::Random;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// With fewer turns than this the memory says nothing: each fault needs its own, once.
const FEW_TURNS: usize = 1000;

/// How long a supervisor whose codex is gone may take to end, and this process to notice.
const REAPED: Duration = Duration::from_secs(20);

/// Turns, and those of them whose end was heard: all but those that were dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How many began.
    pub turns: usize,
    /// How many ended, each of them once.
    pub ends: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.turns += other.turns;
        self.ends += other.ends;
    }
}

/// Where turns run with faults of one kind.
pub trait Bench: 'static {
    /// What can go wrong.
    type Fault: Copy + Debug + Ord + 'static;

    /// All of them.
    const ALL: &'static [Self::Fault];

    /// Those that make what is made once, such as the image of a component's memory.
    const FIRST: &'static [Self::Fault];

    /// A turn with this fault and those that belong to it, and what must hold for them.
    ///
    /// # Errors
    /// When it does not hold.
    async fn case(&self, fault: Self::Fault, random: Random) -> Result<Tally>;

    /// What is left when all turns are over.
    ///
    /// # Errors
    /// When something is.
    fn end(&self) -> Result<()>;
}

/// How many turns, at least, how many cases at once, and the seed of all that is random.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub turns: usize,
    pub at_once: usize,
    pub seed: u64,
}

impl Run {
    /// Runs them: first each fault once, then random ones.
    ///
    /// # Errors
    /// When something does not hold that must.
    pub async fn on<B: Bench>(self, bench: B) -> Result<()> {
        let bench = Rc::new(bench);
        let mut random = Random(self.seed);
        for fault in B::FIRST {
            bench.case(*fault, Random(self.seed)).await?;
        }
        let (began, before) = (Instant::now(), Census::take()?);
        let children = own_children().len();
        let first = self.turns / 10;
        let (mut open, mut begun, mut done) = (JoinSet::new(), 0, Tally::default());
        let mut had: BTreeMap<B::Fault, usize> = BTreeMap::new();
        let (mut after_first, mut failed) = (None, 0);
        loop {
            while open.len() < self.at_once && (begun < B::ALL.len() || done.turns < self.turns) {
                let fault = match B::ALL.get(begun) {
                    Some(fault) => *fault,
                    None => *random.choose(B::ALL).context("there are faults")?,
                };
                *had.entry(fault).or_default() += 1;
                let (bench, random) = (Rc::clone(&bench), Random(random.number()));
                open.spawn_local(async move { bench.case(fault, random).await });
                begun += 1;
            }
            let Some(ended) = open.join_next().await else {
                break;
            };
            match ended? {
                Ok(tally) => done += tally,
                Err(error) => {
                    // The others are looked at all the same: one run shows all that is wrong.
                    eprintln!("{error:#}");
                    failed += 1;
                }
            }
            if begun > B::ALL.len() && done.turns >= first && after_first.is_none() {
                after_first = Some((done.turns, Census::take()?));
            }
        }
        let reaped = Instant::now();
        while own_children().len() > children && reaped.elapsed() < REAPED {
            sleep(Duration::from_millis(10)).await;
        }
        let left = own_children().len();
        let after = Census::take()?;
        let (first, after_first) = after_first.unwrap_or_else(|| (done.turns, after.clone()));
        println!(
            "{} turns, {} ends, {} at once, seed {}, {} s; of each fault:",
            done.turns,
            done.ends,
            self.at_once,
            self.seed,
            began.elapsed().as_secs()
        );
        for (fault, count) in had {
            println!("  {count:5} {fault:?}");
        }
        println!("processes: {children} before, {left} after");
        println!(
            "descriptors: {} before, {} after",
            before.descriptors.len(),
            after.descriptors.len()
        );
        println!(
            "memory: {} KiB after {first} turns, {} KiB at the end",
            after_first.resident_kib, after.resident_kib
        );
        bench.end()?;
        ensure!(failed == 0, "{failed} of {begun} cases have failed");
        ensure!(left <= children, "supervisors are left, or not reaped");
        ensure!(
            after.descriptors.len() <= before.descriptors.len(),
            "descriptors have leaked: {:?} became {:?}",
            before.descriptors,
            after.descriptors
        );
        if self.turns >= FEW_TURNS {
            after.check_memory(&after_first)?;
        }
        Ok(())
    }
}
