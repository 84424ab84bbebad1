//! The measuring: for one codex, each side in turn, round after round.

use std::time::{Duration, Instant};

use bench_peers::processes;
use bench_peers::side::{Timing, milliseconds};
use serde::Serialize;

use crate::arguments::Arguments;
use crate::codex::{Codex, Kind};
use crate::live::Live;
use crate::memory::{self, Peak};
use crate::row::{Row, rows};
use crate::sides::{BARE, Side};
use crate::statistics::Spread;
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
    pub turns: Vec<Timing>,
}

/// Measures everything with this codex.
pub fn all(arguments: &Arguments, codex: &Codex, sides: &[Side]) -> anyhow::Result<Vec<Row>> {
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
    let (live, program) = match codex.kind {
        Kind::Fake => (
            [
                phase(Mode::Live, 1, 0.04, 20, 400),
                phase(Mode::Live, many, 0.07, 3, 40),
            ],
            [
                phase(Mode::Program, 1, 0.08, 5, 60),
                phase(Mode::Program, many, 0.17, 2, 10),
            ],
        ),
        Kind::Real => (
            [
                phase(Mode::Live, 1, 0.10, 5, 60),
                phase(Mode::Live, many, 0.20, 2, 10),
            ],
            [
                phase(Mode::Program, 1, 0.10, 4, 40),
                phase(Mode::Program, many, 0.24, 2, 8),
            ],
        ),
    };
    let mut results = Vec::new();
    let mut lives = Lives::start(codex, sides)?;
    for phase in live {
        results.extend(rows(&phase, &lives.measure(arguments, &phase)?));
    }
    drop(lives);
    for phase in program {
        results.extend(rows(&phase, &programs(arguments, &phase, codex, sides)?));
    }
    Ok(results)
}

/// The sides' processes that stay.
struct Lives<'a> {
    codex: &'a Codex,
    sides: Vec<(&'static str, Live)>,
}

impl<'a> Lives<'a> {
    /// Starts them and lets them get warm.
    fn start(codex: &'a Codex, sides: &[Side]) -> anyhow::Result<Self> {
        let mut lives = Vec::new();
        for side in sides {
            if let Some(command) = side.live(codex) {
                lives.push((side.name, Live::start(command)?));
            }
        }
        let rounds = match codex.kind {
            Kind::Fake => 30,
            // The first turn in a home takes half a second longer.
            Kind::Real => 3,
        };
        let parent = codex.folder.join("warm-live");
        let mut workspaces = Workspaces::create(&parent, rounds * lives.len())?;
        for _ in 0..rounds {
            for (_, live) in &mut lives {
                live.turns(workspaces.take(1))?;
            }
        }
        Ok(Lives {
            codex,
            sides: lives,
        })
    }

    fn measure(&mut self, arguments: &Arguments, phase: &Phase) -> anyhow::Result<Vec<Samples>> {
        let count = self.sides.len();
        let parent = self.codex.folder.join(format!("live-{}", phase.at_once));
        let folders = (phase.most_rounds + 1) * count * phase.at_once;
        let mut workspaces = Workspaces::create(&parent, folders)?;
        let before = self.cpu()?;
        let mut rounds: Vec<Vec<Round>> = self.sides.iter().map(|_| Vec::new()).collect();
        in_turn(arguments, phase, count, |number| {
            let (_, live) = &mut self.sides[number];
            let report = live.turns(workspaces.take(phase.at_once))?;
            let (wall_ms, turns) = (report.wall_ms, report.turns);
            rounds[number].push(Round { wall_ms, turns });
            Ok(())
        })?;
        let after = self.cpu()?;
        let mut samples = Vec::new();
        for (number, rounds) in rounds.into_iter().enumerate() {
            let turns = (rounds.len() * phase.at_once) as f64;
            let [own, children] =
                [0, 1].map(|which| milliseconds(after[number][which] - before[number][which]));
            samples.push(Samples {
                side: self.sides[number].0,
                rounds,
                own_cpu_ms: own / turns,
                tree_cpu_ms: (own + children) / turns,
                peak: Some(self.peak(number, phase, &mut workspaces)?),
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
        // With the fake codex, they are gone before one can look.
        if phase.codex == Kind::Real {
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
    sides: &[Side],
) -> anyhow::Result<Vec<Samples>> {
    let sides: Vec<&Side> = sides
        .iter()
        .filter(|side| side.program(codex, &codex.folder).is_some())
        .collect();
    // How often the memory is looked at.
    let watched = if phase.at_once == 1 { 5 } else { 1 };
    let parent = codex.folder.join(format!("program-{}", phase.at_once));
    let rounds = 1 + phase.most_rounds + watched;
    let mut workspaces = Workspaces::create(&parent, rounds * sides.len() * phase.at_once)?;
    let mut commands = |side: &Side, at_once| {
        let folders = workspaces.take(at_once);
        let commands = folders
            .iter()
            .filter_map(|folder| side.program(codex, folder));
        commands.collect::<Vec<_>>()
    };
    for side in &sides {
        processes::run(quiet(commands(side, 1)), Instant::now())?;
    }
    let mut samples: Vec<Samples> = sides.iter().map(|side| Samples::none(side.name)).collect();
    in_turn(arguments, phase, sides.len(), |number| {
        let commands = quiet(commands(sides[number], phase.at_once));
        let began = Instant::now();
        let ended = processes::run(commands, began)?;
        let wall_ms = milliseconds(began.elapsed());
        let samples = &mut samples[number];
        for ended in &ended {
            samples.own_cpu_ms += milliseconds(ended.own_cpu);
            samples.tree_cpu_ms += milliseconds(ended.tree_cpu);
        }
        let turns = ended.iter().map(|ended| ended.timing).collect();
        samples.rounds.push(Round { wall_ms, turns });
        Ok(())
    })?;
    for (side, samples) in sides.iter().zip(&mut samples) {
        let turns = (samples.rounds.len() * phase.at_once) as f64;
        samples.own_cpu_ms /= turns;
        samples.tree_cpu_ms /= turns;
        if side.name == BARE {
            continue;
        }
        let mut peaks = Vec::new();
        for _ in 0..watched {
            let commands = quiet(commands(side, phase.at_once));
            peaks.push(memory::of_programs(commands, &codex.program)?);
        }
        let median =
            |of: fn(&Peak) -> f64| Spread::of(peaks.iter().map(of)).map(|spread| spread.median);
        samples.peak = Some(Peak {
            process_kib: median(|peak| peak.process_kib).unwrap_or_default(),
            helpers_kib: median(|peak| peak.helpers_kib).unwrap_or_default(),
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

/// Lets the sides measure in turn, each round beginning with another, for the phase's part of the time.
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
        for side in 0..sides {
            measure((round + side) % sides)?;
        }
    }
    let (codex, mode, at_once) = (phase.codex, phase.mode, phase.at_once);
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{codex:?} codex, {mode:?}, {at_once} at a time: {seconds:.1} s");
    Ok(())
}
