//! Text as it is written: this project with a codex that stays, beside a direct client of the same codex, beside this
//! project with `codex exec`, and beside others.

mod client;
mod contender;
mod dialect;
mod row;
mod tree;
mod versions;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bench_peers::comparison::Comparison;

use crate::arguments::Arguments;
use crate::codex::Model;
use crate::memory::most_during;
use crate::order::order;
use crate::workspaces::Workspaces;

use client::{Client, Streamed};
use contender::{Contender, FOLDERS};
use tree::{Memory, Tree, Used};

pub use row::{Row, Work, table};

/// What codex may still write down after it has said that a turn is over. It is part of what the turn costs.
const AFTERWARDS: Duration = Duration::from_millis(30);
/// Rounds of turns that are not measured.
const WARM_UP: usize = 3;
/// How often the memory is looked at during a turn.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A turn of a side.
#[derive(Debug)]
pub struct Sample {
    streamed: Streamed,
    cpu: Used<Duration>,
}

/// What a side holds, alone on the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// After a turn.
    idle: Used<Memory>,
    /// All processes together, at most, while a turn runs: the PSS in KiB.
    busy: u64,
}

/// What is asked, and what the answer ends with.
fn prompt(work: Work) -> (&'static str, &'static str) {
    match work {
        Work::Slow => ("mock:slow=50,20", "part 50"),
        Work::Start | Work::Instant | Work::Together => ("hello", "hello"),
    }
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Results {
    pub rows: Vec<Row>,
    /// This project beside what it was before.
    pub comparisons: Vec<Comparison>,
}

impl Results {
    fn add(
        &mut self,
        work: Work,
        folders: usize,
        sides: &[&Contender],
        samples: &[Vec<Sample>],
        held: &[Held],
    ) {
        self.rows
            .extend(row::rows(work, folders, sides, samples, held));
        let compared = versions::compare(work, folders, sides, samples, held);
        self.comparisons.extend(compared);
    }
}

/// Measures all of it, in so many rounds.
pub fn all(arguments: &Arguments, scratch: &Path, model: &Model) -> anyhow::Result<Results> {
    let folder = scratch.join("streaming");
    std::fs::create_dir_all(&folder)?;
    let contenders = contender::all(arguments, scratch, model)?;
    let newest = contenders.first().map(|first| &first.version);
    let (newer, older): (Vec<&Contender>, Vec<&Contender>) = contenders
        .iter()
        .partition(|side| Some(&side.version) == newest);
    let everybody: Vec<&Contender> = newer.iter().chain(&older).copied().collect();
    let rounds = arguments.streaming;
    let mut results = Results::default();

    // The first start in a home takes half a second longer.
    starts(&everybody, 1, &folder.join("homes"))?;
    let samples = starts(&everybody, rounds.div_ceil(2), &folder.join("start"))?;
    results.add(Work::Start, 1, &everybody, &samples, &[]);

    let held = memory(&everybody, &folder)?;
    let mut clients = clients(&everybody);
    further(&mut clients, 1, &folder.join("one"))?;
    for work in [Work::Instant, Work::Slow] {
        // A slow turn takes more than a second.
        let rounds = match work {
            Work::Slow => rounds.div_ceil(2),
            _ => rounds,
        };
        let samples = turns(&mut clients, work, rounds)?;
        let held = held.iter().map(|(one, _)| *one).collect::<Vec<_>>();
        let held = if work == Work::Instant {
            &held[..]
        } else {
            &[]
        };
        results.add(work, 1, &everybody, &samples, held);
    }
    drop(clients);

    let many: Vec<&Contender> = newer
        .iter()
        .filter(|side| side.is_many())
        .copied()
        .collect();
    // A round of many real ones takes seconds, of which little is this project's.
    if arguments.compares() {
        return Ok(results);
    }
    let parent = folder.join("many");
    let samples = together(&many, arguments.at_once, rounds.div_ceil(4), &parent)?;
    results.add(Work::Together, arguments.at_once, &many, &samples, &[]);

    // Fewer, because each has up to ten codex processes.
    let mut clients = self::clients(&newer);
    let samples = further(&mut clients, FOLDERS, &folder.join("ten"))?;
    results.add(Work::Start, FOLDERS, &newer, &samples, &[]);
    let samples = turns(&mut clients, Work::Instant, rounds)?;
    let held: Vec<Held> = held.iter().map(|(_, ten)| *ten).collect();
    results.add(Work::Instant, FOLDERS, &newer, &samples, &held);
    Ok(results)
}

/// The same, but for what only a real codex shows, of one that answers at once.
pub fn on_fake(arguments: &Arguments, scratch: &Path, codex: &Path) -> anyhow::Result<Results> {
    let folder = scratch.join("streaming");
    std::fs::create_dir_all(&folder)?;
    let contenders = contender::on_fake(arguments, scratch, codex)?;
    let sides: Vec<&Contender> = contenders.iter().collect();
    // A turn takes less than a millisecond, and the pause after it is what takes time.
    let rounds = 10 * arguments.streaming;
    let mut results = Results::default();
    let mut clients = clients(&sides);
    further(&mut clients, 1, &folder.join("fake-one"))?;
    let samples = turns(&mut clients, Work::Instant, rounds)?;
    results.add(Work::Instant, 1, &sides, &samples, &[]);
    drop(clients);
    let parent = folder.join("fake-many");
    let samples = together(&sides, arguments.at_once, rounds, &parent)?;
    results.add(Work::Together, arguments.at_once, &sides, &samples, &[]);
    Ok(results)
}

/// A further turn of many conversations at once.
fn together(
    sides: &[&Contender],
    conversations: usize,
    rounds: usize,
    folder: &Path,
) -> anyhow::Result<Vec<Vec<Sample>>> {
    let mut clients = clients(sides);
    further(&mut clients, conversations, folder)?;
    let (prompt, ending) = prompt(Work::Together);
    in_turn("together", sides.len(), rounds, |number| {
        let (side, client) = &mut clients[number];
        let before = Tree::of(&client.roots(), &side.codex).cpu();
        let turns = client.turns(prompt, ending)?;
        thread::sleep(AFTERWARDS);
        let after = Tree::of(&client.roots(), &side.codex).cpu();
        let each = |time: Duration| time / conversations as u32;
        let mut firsts: Vec<Duration> = turns.iter().map(|turn| turn.pieces[0]).collect();
        firsts.sort();
        let last = turns.iter().map(|turn| turn.end).max().unwrap_or_default();
        let streamed = Streamed {
            pieces: vec![firsts[firsts.len() / 2]],
            end: each(last),
        };
        let cpu = Used {
            adapter: each(after.adapter.saturating_sub(before.adapter)),
            all: each(after.all.saturating_sub(before.all)),
        };
        Ok(Sample { streamed, cpu })
    })
}

fn clients<'a>(sides: &[&'a Contender]) -> Vec<(&'a Contender, Client<'a>)> {
    sides
        .iter()
        .map(|side| (*side, Client::new(side)))
        .collect()
}

/// From nothing: a process is started, a conversation opened and a turn carried out. Then it ends.
fn starts(sides: &[&Contender], rounds: usize, folder: &Path) -> anyhow::Result<Vec<Vec<Sample>>> {
    let mut workspaces = Workspaces::create(folder, rounds * sides.len())?;
    in_turn("starts", sides.len(), rounds, |number| {
        let mut client = Client::new(sides[number]);
        open(&mut client, sides[number], &mut workspaces)
    })
}

/// The first turn of each conversation, in processes that may be there already. The first of all is not told: it is a
/// start.
fn further(
    clients: &mut [(&Contender, Client<'_>)],
    conversations: usize,
    folder: &Path,
) -> anyhow::Result<Vec<Vec<Sample>>> {
    let mut workspaces = Workspaces::create(folder, conversations * clients.len())?;
    let mut all = in_turn("conversations", clients.len(), conversations, |number| {
        let (side, client) = &mut clients[number];
        open(client, side, &mut workspaces)
    })?;
    for samples in &mut all {
        samples.remove(0);
    }
    Ok(all)
}

fn open(
    client: &mut Client<'_>,
    side: &Contender,
    workspaces: &mut Workspaces,
) -> anyhow::Result<Sample> {
    let began = Instant::now();
    client.open(workspaces.take(1).remove(0))?;
    let opened = began.elapsed();
    let (prompt, ending) = prompt(Work::Start);
    let mut streamed = client.turn(client.conversations() - 1, prompt, ending)?;
    streamed.end += opened;
    for piece in &mut streamed.pieces {
        *piece += opened;
    }
    let cpu = Tree::of(&client.roots(), &side.codex).cpu();
    Ok(Sample { streamed, cpu })
}

/// Turns in conversations that are open, one conversation after another.
fn turns(
    clients: &mut [(&Contender, Client<'_>)],
    work: Work,
    rounds: usize,
) -> anyhow::Result<Vec<Vec<Sample>>> {
    let (prompt, ending) = prompt(work);
    let sides = clients.len();
    let mut next = vec![0; sides];
    let mut measure = |number: usize| {
        let (side, client) = &mut clients[number];
        let conversation = next[number] % client.conversations();
        next[number] += 1;
        let cpu = |client: &Client<'_>| Tree::of(&client.roots(), &side.codex).cpu();
        let before = cpu(client);
        let streamed = client.turn(conversation, prompt, ending)?;
        thread::sleep(AFTERWARDS);
        let after = cpu(client);
        let cpu = Used {
            adapter: after.adapter.saturating_sub(before.adapter),
            all: after.all.saturating_sub(before.all),
        };
        Ok(Sample { streamed, cpu })
    };
    if work == Work::Instant {
        in_turn("warm-up", sides, WARM_UP, &mut measure)?;
    }
    in_turn(&format!("{work:?}"), sides, rounds, measure)
}

/// What each holds with one conversation and with many, while no other runs.
fn memory(sides: &[&Contender], folder: &Path) -> anyhow::Result<Vec<(Held, Held)>> {
    let began = Instant::now();
    let mut all = Vec::new();
    for (number, side) in sides.iter().enumerate() {
        let mut workspaces = Workspaces::create(&folder.join(format!("memory-{number}")), FOLDERS)?;
        let mut client = Client::new(side);
        let mut look = |conversations: usize| {
            while client.conversations() < conversations {
                open(&mut client, side, &mut workspaces)?;
            }
            let (prompt, ending) = prompt(Work::Slow);
            let roots = client.roots();
            let tree = || Tree::of(&roots, &side.codex).memory();
            let (turn, busy) = most_during(
                LOOK_EVERY,
                || tree().all.pss,
                || client.turn(0, prompt, ending),
            );
            turn?;
            thread::sleep(AFTERWARDS);
            anyhow::Ok(Held { idle: tree(), busy })
        };
        all.push((look(1)?, look(FOLDERS)?));
    }
    eprintln!("Streaming, memory: {:.1} s", began.elapsed().as_secs_f64());
    Ok(all)
}

/// Lets each side measure once a round, in another order in each.
fn in_turn(
    what: &str,
    sides: usize,
    rounds: usize,
    mut measure: impl FnMut(usize) -> anyhow::Result<Sample>,
) -> anyhow::Result<Vec<Vec<Sample>>> {
    let began = Instant::now();
    let mut all: Vec<Vec<Sample>> = (0..sides).map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for number in order(round, sides) {
            all[number].push(measure(number)?);
        }
    }
    eprintln!("Streaming, {what}: {:.1} s", began.elapsed().as_secs_f64());
    Ok(all)
}
