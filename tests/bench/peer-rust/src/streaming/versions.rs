//! This project with a codex that stays, beside what it was before.

use bench_peers::comparison::Comparison;
use bench_peers::side::milliseconds;

use crate::sides::versions;

use super::contender::Contender;
use super::row::Work;
use super::{Held, Sample};

/// What one work has shown of the two; nothing where only one was measured.
pub fn compare(
    work: Work,
    folders: usize,
    sides: &[&Contender],
    samples: &[Vec<Sample>],
    held: &[Held],
) -> Vec<Comparison> {
    let Some([before, after]) = versions(sides.iter().map(|side| side.name)) else {
        return Vec::new();
    };
    let form = match work {
        Work::Start => "app-server, a start and its first turn",
        Work::Instant => "app-server, a further turn",
        Work::Together => "app-server, further turns at once",
        Work::Slow => "app-server, a further turn of a slow model",
    };
    let codex = match sides[after].is_fake() {
        true => "a codex that answers at once",
        false => "the real codex",
    };
    let comparison = |what: &str, unit, of: &dyn Fn(usize) -> Vec<f64>| Comparison {
        before: of(before),
        after: of(after),
        ..Comparison::new(
            format!("{form} on {codex}, folders: {folders}: {what}"),
            unit,
        )
    };
    let turns = |what, of: &dyn Fn(&Sample) -> f64| {
        comparison(what, "ms", &|side| samples[side].iter().map(of).collect())
    };
    let mut all = vec![
        turns("first text", &|sample| {
            milliseconds(sample.streamed.pieces[0])
        }),
        turns("end", &|sample| milliseconds(sample.streamed.end)),
    ];
    if work != Work::Start {
        let cpu = |sample: &Sample| milliseconds(sample.cpu.adapter);
        all.push(turns("processor, without codex", &cpu));
    }
    if !held.is_empty() {
        let idle = |side: usize| vec![held[side].idle.adapter.pss as f64];
        all.push(comparison("memory, without codex", "KiB", &idle));
    }
    all
}
