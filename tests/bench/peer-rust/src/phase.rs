//! The measuring: for one codex, each side in turn, round after round.

use std::time::{Duration, Instant};

use bench_peers::comparison::Comparison;
use bench_peers::processes;
use bench_peers::side::{Timing, milliseconds};
use bench_peers::statistics::Spread;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::codex::{Codex, Kind};
use crate::live::Live;
use crate::memory::{self, Peak};
use crate::order::order;
use crate::row::{Row, rows};
use crate::sides::{BARE, Side};
use crate::versions;
use crate::workspaces::Workspaces;

/// How a side is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As a library in a process that stays.
    Live,
    /// As a program that is started for the turn and ends with it.
    Program,
}

/// What is measured in one go, one side after another.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    pub codex: Kind,
    pub mode: Mode,
    pub at_once: usize,
    /// Its part of the whole time.
    share: f64,
    least_rounds: usize,
    most_rounds: usize,
}

/// What one side did in a phase.
#[derive(Debug)]
pub struct Samples {
    pub side: &'static str,
    pub rounds: Vec<Round>,
    /// CPU time a turn of the wrapper's own process.
    pub own_cpu_ms: f64,
    /// CPU time a turn of the wrapper and all that it started, codex included.
    pub tree_cpu_ms: f64,
    /// Not known of codex alone.
    pub peak: Option<Peak>,
}

/// As many turns at once as the phase has.
#[derive(Debug)]
pub struct Round {
    pub wall_ms: f64,
    /// CPU time a turn of the wrapper's own process, with what it did after the turns.
    pub own_cpu_ms: f64,
    pub turns: Vec<Timing>,
}

/// What a phase has shown.
#[derive(Debug, Default)]
pub struct Results {
    pub rows: Vec<Row>,
    /// This project beside what it was before.
    pub comparisons: Vec<Comparison>,
}

impl Results {
    fn add(&mut self, phase: &Phase, samples: &[Samples]) {
        self.rows.extend(rows(phase, samples));
        self.comparisons.extend(versions::compare(phase, samples));
    }
}

/// Measures everything with this codex.
pub fn all(arguments: &Arguments, codex: &Codex, sides: &[Side]) -> anyhow::Result<Results> {
    let phase = |mode, at_once, share, least_rounds, most_rounds| Phase {
        codex: codex.kind,
        mode,
        at_once,
        share,
        least_rounds,
        most_rounds,
    };
    let many = arguments.at_once;
    // The fake codex and the real one have 0.36 and 0.64 of the time.
    let phases = match codex.kind {
        Kind::Fake => [
            phase(Mode::Live, 1, 0.06, 20, 800),
            phase(Mode::Live, many, 0.07, 3, 80),
            phase(Mode::Program, 1, 0.08, 5, 300),
            phase(Mode::Program, many, 0.15, 2, 60),
        ],
        Kind::Real => [
            phase(Mode::Live, 1, 0.12, 5, 60),
            phase(Mode::Live, many, 0.20, 2, 10),
            phase(Mode::Program, 1, 0.12, 4, 40),
            phase(Mode::Program, many, 0.20, 2, 8),
        ],
    };
    // Two rounds of many real ones take a minute, and do not tell two versions apart.
    let worth =
        |phase: &&Phase| !(codex.kind == Kind::Real && phase.at_once > 1 && arguments.compares());
    let of = |mode| move |phase: &&Phase| phase.mode == mode;
    let sides: Vec<&Side> = sides
        .iter()
        .filter(|side| side.runs_on(codex.kind))
        .collect();
    let mut results = Results::default();
    let mut lives = Lives::start(codex, &sides)?;
    for phase in phases.iter().filter(of(Mode::Live)).filter(worth) {
        results.add(phase, &lives.measure(arguments, phase)?);
    }
    drop(lives);
    // What one program holds, it holds beside others too.
    let mut alone = Vec::new();
    for phase in phases.iter().filter(of(Mode::Program)).filter(worth) {
        let mut samples = programs(arguments, phase, codex, &sides)?;
        for samples in &mut samples {
            match alone.iter().find(|(side, _)| *side == samples.side) {
                Some((_, peak)) if samples.peak.is_none() => samples.peak = *peak,
                _ => alone.push((samples.side, samples.peak)),
            }
        }
        results.add(phase, &samples);
    }
    Ok(results)
}

/// The sides' processes that stay.
struct Lives<'a> {
    codex: &'a Codex,
    sides: Vec<(&'a Side, Live)>,
}

impl<'a> Lives<'a> {
    /// Starts them and lets them get warm.
    fn start(codex: &'a Codex, sides: &[&'a Side]) -> anyhow::Result<Self> {
        let mut lives = Vec::new();
        for side in sides {
            // A first start compiles what later ones find, which takes memory that no turn does.
            if let Some((first, command)) = side.live(codex).zip(side.live(codex)) {
                drop(Live::start(first)?);
                lives.push((*side, Live::start(command)?));
            }
        }
        let rounds = match codex.kind {
            Kind::Fake => 30,
            // The first turn in a home takes half a second longer.
            Kind::Real => 3,
        };
        for (side, live) in &mut lives {
            let parent = side.workspaces(codex, "warm-live");
            let mut workspaces = Workspaces::create(&parent, rounds)?;
            for _ in 0..rounds {
                live.turns(workspaces.take(1))?;
            }
        }
        Ok(Lives {
            codex,
            sides: lives,
        })
    }

    fn measure(&mut self, arguments: &Arguments, phase: &Phase) -> anyhow::Result<Vec<Samples>> {
        let name = format!("live-{}", phase.at_once);
        let folders = (phase.most_rounds + 1) * phase.at_once;
        let workspaces = self.sides.iter();
        let workspaces = workspaces
            .map(|(side, _)| Workspaces::create(&side.workspaces(self.codex, &name), folders));
        let mut workspaces = workspaces.collect::<anyhow::Result<Vec<_>>>()?;
        let before = self.cpu()?;
        let mut own: Vec<Vec<Duration>> = self.sides.iter().map(|_| Vec::new()).collect();
        let mut rounds: Vec<Vec<Round>> = self.sides.iter().map(|_| Vec::new()).collect();
        in_turn(arguments, phase, self.sides.len(), |number| {
            let (_, live) = &mut self.sides[number];
            own[number].push(live.cpu()?.0);
            let report = live.turns(workspaces[number].take(phase.at_once))?;
            rounds[number].push(Round {
                wall_ms: report.wall_ms,
                own_cpu_ms: 0.0,
                turns: report.turns,
            });
            Ok(())
        })?;
        let after = self.cpu()?;
        let mut samples = Vec::new();
        for (number, mut rounds) in rounds.into_iter().enumerate() {
            let at_once = phase.at_once as f64;
            let turns = rounds.len() as f64 * at_once;
            let ends = own[number].iter().skip(1).chain([&after[number][0]]);
            for (round, (began, ended)) in rounds.iter_mut().zip(own[number].iter().zip(ends)) {
                round.own_cpu_ms = milliseconds(*ended - *began) / at_once;
            }
            let [own, children] =
                [0, 1].map(|which| milliseconds(after[number][which] - before[number][which]));
            samples.push(Samples {
                side: self.sides[number].0.name,
                rounds,
                own_cpu_ms: own / turns,
                tree_cpu_ms: (own + children) / turns,
                peak: Some(self.peak(number, phase, &mut workspaces[number])?),
            });
        }
        Ok(samples)
    }

    fn peak(
        &mut self,
        number: usize,
        phase: &Phase,
        workspaces: &mut Workspaces,
    ) -> anyhow::Result<Peak> {
        let (_, live) = &mut self.sides[number];
        let pid = live.pid();
        let mut helpers = 0;
        // With the fake codex, they are gone before one can look; and many take half a minute.
        if phase.codex == Kind::Real && phase.at_once == 1 {
            let folders = workspaces.take(phase.at_once);
            let (report, most) =
                memory::helpers_during(pid, &self.codex.program, || live.turns(folders));
            report?;
            helpers = most;
        }
        Ok(Peak {
            process_kib: memory::high_water_mark(pid).unwrap_or_default() as f64,
            helpers_kib: helpers as f64,
        })
    }

    fn cpu(&self) -> anyhow::Result<Vec<[Duration; 2]>> {
        let cpu = self.sides.iter().map(|(_, live)| live.cpu());
        cpu.map(|cpu| cpu.map(|(own, children)| [own, children]))
            .collect()
    }
}

fn programs(
    arguments: &Arguments,
    phase: &Phase,
    codex: &Codex,
    sides: &[&Side],
) -> anyhow::Result<Vec<Samples>> {
    let sides: Vec<&&Side> = sides
        .iter()
        .filter(|side| side.program(codex, &codex.folder).is_some())
        .collect();
    // How often the memory is looked at. Many real ones take half a minute.
    let watched = match (phase.at_once, phase.codex) {
        (1, _) => 5,
        (_, Kind::Fake) => 1,
        (_, Kind::Real) => 0,
    };
    let name = format!("program-{}", phase.at_once);
    let folders = (1 + phase.most_rounds + watched) * phase.at_once;
    let workspaces = sides.iter();
    let workspaces =
        workspaces.map(|side| Workspaces::create(&side.workspaces(codex, &name), folders));
    let mut workspaces = workspaces.collect::<anyhow::Result<Vec<_>>>()?;
    let mut commands = |number: usize, at_once| {
        let folders = workspaces[number].take(at_once);
        let commands = folders
            .iter()
            .filter_map(|folder| sides[number].program(codex, folder));
        quiet(commands.collect())
    };
    for number in 0..sides.len() {
        processes::run(commands(number, 1), Instant::now())?;
    }
    let mut samples: Vec<Samples> = sides.iter().map(|side| Samples::none(side.name)).collect();
    in_turn(arguments, phase, sides.len(), |number| {
        let commands = commands(number, phase.at_once);
        let began = Instant::now();
        let ended = processes::run(commands, began)?;
        let wall_ms = milliseconds(began.elapsed());
        let samples = &mut samples[number];
        let own_cpu: Duration = ended.iter().map(|ended| ended.own_cpu).sum();
        samples.own_cpu_ms += milliseconds(own_cpu);
        for ended in &ended {
            samples.tree_cpu_ms += milliseconds(ended.tree_cpu);
        }
        samples.rounds.push(Round {
            wall_ms,
            own_cpu_ms: milliseconds(own_cpu) / phase.at_once as f64,
            turns: ended.iter().map(|ended| ended.timing).collect(),
        });
        Ok(())
    })?;
    for (number, samples) in samples.iter_mut().enumerate() {
        let turns = (samples.rounds.len() * phase.at_once) as f64;
        samples.own_cpu_ms /= turns;
        samples.tree_cpu_ms /= turns;
        if samples.side == BARE {
            continue;
        }
        let mut peaks = Vec::new();
        for _ in 0..watched {
            peaks.push(memory::of_programs(
                commands(number, phase.at_once),
                &codex.program,
            )?);
        }
        let median =
            |of: fn(&Peak) -> f64| Spread::of(peaks.iter().map(of)).map(|spread| spread.median);
        let process = median(|peak| peak.process_kib);
        let helpers = median(|peak| peak.helpers_kib);
        samples.peak = process.zip(helpers).map(|(process_kib, helpers_kib)| Peak {
            process_kib,
            helpers_kib,
        });
    }
    Ok(samples)
}

impl Samples {
    fn none(side: &'static str) -> Self {
        Samples {
            side,
            rounds: Vec::new(),
            own_cpu_ms: 0.0,
            tree_cpu_ms: 0.0,
            peak: None,
        }
    }
}

/// Codex says on standard error that it reads standard input.
fn quiet(mut commands: Vec<std::process::Command>) -> Vec<std::process::Command> {
    for command in &mut commands {
        command.stderr(std::process::Stdio::null());
    }
    commands
}

/// Lets the sides measure in turn, in another order in each round, for the phase's part of the time.
fn in_turn(
    arguments: &Arguments,
    phase: &Phase,
    sides: usize,
    mut measure: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (began, time) = (Instant::now(), phase.share * arguments.seconds);
    for round in 0..phase.most_rounds {
        let elapsed = began.elapsed().as_secs_f64();
        // Stops where that is nearer to the time than one round more would be.
        if round >= phase.least_rounds && elapsed + elapsed / round as f64 / 2.0 > time {
            break;
        }
        for side in order(round, sides) {
            measure(side)?;
        }
    }
    let (codex, mode, at_once) = (phase.codex, phase.mode, phase.at_once);
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{codex:?} codex, {mode:?}, {at_once} at a time: {seconds:.1} s");
    Ok(())
}
