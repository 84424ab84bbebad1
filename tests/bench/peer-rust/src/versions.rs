//! This project beside what it was before: the figures of each round, those of the two sides in pairs.

use bench_peers::comparison::Comparison;
use bench_peers::side::Timing;
use bench_peers::statistics::quantile;

use crate::codex::Kind;
use crate::memory::Peak;
use crate::phase::{Mode, Phase, Round, Samples};
use crate::sides::versions;

/// What a phase has shown of the two; nothing where only one was measured.
pub fn compare(phase: &Phase, samples: &[Samples]) -> Vec<Comparison> {
    let Some(both) = versions(samples.iter().map(|samples| samples.side)) else {
        return Vec::new();
    };
    let [before, after] = both.map(|number| &samples[number]);
    let form = match phase.mode {
        Mode::Live => "a turn in a live host",
        Mode::Program => "`say`",
    };
    let codex = match phase.codex {
        Kind::Fake => "a codex that answers at once",
        Kind::Real => "the real codex",
    };
    let what = |what: &str| format!("{form} on {codex}, {} at a time: {what}", phase.at_once);
    let at_once = phase.at_once as f64;
    let rounds = |name: &str, unit, of: &dyn Fn(&Round) -> f64| Comparison {
        before: before.rounds.iter().map(of).collect(),
        after: after.rounds.iter().map(of).collect(),
        ..Comparison::new(what(name), unit)
    };
    let middle = |of: fn(&Timing) -> f64| {
        move |round: &Round| quantile(round.turns.iter().map(of), 0.5).unwrap_or_default()
    };
    let peak = |samples: &Samples| {
        let kib = |peak: Peak| peak.process_kib;
        samples.peak.map(kib).into_iter().collect()
    };
    vec![
        rounds("first event", "ms", &middle(|turn| turn.first_event_ms)),
        rounds("turn", "ms", &|round| round.wall_ms / at_once),
        rounds("processor", "ms", &|round| round.own_cpu_ms),
        Comparison {
            before: peak(before),
            after: peak(after),
            ..Comparison::new(what("peak memory"), "KiB")
        },
    ]
}
