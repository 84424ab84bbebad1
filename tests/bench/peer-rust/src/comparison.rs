//! One thing that was measured of two versions of this project, round by round.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::statistics::Spread;

/// Worse by more than this is marked, if chance does not explain it.
const MOST_WORSE: f64 = 1.03;

/// Rounds that agree as well as these is what chance gives two equal versions in fewer than one case in sixty: six of six,
/// or sixteen of twenty-one.
const CHANCE: f64 = 1.0 / 60.0;

/// Of fewer rounds, chance could always be the reason. They are measured where the figure hardly varies, as memory does.
const ROUNDS_OF_CHANCE: usize = 6;

/// Of more rounds, chance is as good as normally distributed, and no float holds its smallest part.
const ROUNDS_TO_COUNT: usize = 100;

/// The figures of both versions: the first of the one belongs to the first of the other, which was measured next to it.
/// Less is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was measured.
    pub what: String,
    /// The unit of the figures.
    pub unit: String,
    /// Empty where that version cannot be measured.
    pub before: Vec<f64>,
    /// Empty where that version cannot be measured.
    pub after: Vec<f64>,
}

/// What the figures say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Worse by more than 3 %, and by more than the rounds differ.
    Worse,
    /// Better, likewise.
    Better,
    /// Neither.
    Alike,
    /// There was no such thing before.
    New,
    /// There is no such thing any more.
    Gone,
}

impl Comparison {
    /// One that has no figures yet.
    #[must_use]
    pub fn new(what: impl Into<String>, unit: impl Into<String>) -> Self {
        Comparison {
            what: what.into(),
            unit: unit.into(),
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    /// How many times the figure before the one after is, within a round.
    #[must_use]
    pub fn ratio(&self) -> Option<Spread> {
        let pairs = self.before.iter().zip(&self.after);
        Spread::of(pairs.map(|(before, after)| match after == before {
            // Nothing before and after is no change.
            true => 1.0,
            false => after / before,
        }))
    }

    /// What the figures say.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let Some(ratio) = self.ratio() else {
            return match self.before.is_empty() {
                true => Verdict::New,
                false => Verdict::Gone,
            };
        };
        let pairs = || self.before.iter().zip(&self.after);
        let not_worse = pairs().filter(|(before, after)| after <= before).count();
        let not_better = pairs().filter(|(before, after)| after >= before).count();
        let rounds = pairs().count();
        if ratio.median > MOST_WORSE && is_no_chance(not_worse, rounds) {
            Verdict::Worse
        } else if ratio.median < 1.0 / MOST_WORSE && is_no_chance(not_better, rounds) {
            Verdict::Better
        } else {
            Verdict::Alike
        }
    }
}

/// Whether no more than `against` of so many rounds would speak against a difference by chance: the sign test.
fn is_no_chance(against: usize, rounds: usize) -> bool {
    if rounds < ROUNDS_OF_CHANCE {
        return against == 0;
    }
    if rounds > ROUNDS_TO_COUNT {
        // The normal distribution, whose 59 of 60 lie below this many standard deviations.
        let deviation = (rounds as f64).sqrt() / 2.0;
        return (rounds as f64 / 2.0 - against as f64 - 0.5) / deviation > 2.128;
    }
    // How many of the ways in which the rounds can fall out have no more against it.
    let mut ways = 0.5_f64.powi(i32::try_from(rounds).unwrap_or(i32::MAX));
    let mut chance = ways;
    for one in 1..=against {
        ways *= (rounds - one + 1) as f64 / one as f64;
        chance += ways;
    }
    chance < CHANCE
}

/// The comparisons for people to read, in Markdown.
#[must_use]
pub fn table(comparisons: &[Comparison]) -> String {
    let mut table = String::from(
        "| what | before | after | ratio | half of the rounds | rounds | |\n| --- | --: | --: | --: | --: | --: | --- |\n",
    );
    for one in comparisons {
        let median = |figures: &[f64]| {
            Spread::of(figures.iter().copied()).map_or(String::new(), |spread| {
                format!("{} {}", short(spread.median), one.unit)
            })
        };
        let (ratio, spread) = one.ratio().map_or_else(Default::default, |ratio| {
            (
                format!("{:.3} ×", ratio.median),
                format!("{:.3} – {:.3}", ratio.low, ratio.high),
            )
        });
        let verdict = match one.verdict() {
            Verdict::Worse => "**worse**",
            Verdict::Better => "better",
            Verdict::Alike => "",
            Verdict::New => "new",
            Verdict::Gone => "gone",
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {ratio} | {spread} | {} | {verdict} |",
            one.what,
            median(&one.before),
            median(&one.after),
            one.before.len().max(one.after.len()),
        );
    }
    table
}

/// With about three digits that say something.
fn short(figure: f64) -> String {
    match figure.abs() {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        1.0.. => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Verdict, is_no_chance};

    fn comparison(before: &[f64], after: &[f64]) -> Comparison {
        Comparison {
            before: before.to_vec(),
            after: after.to_vec(),
            ..Comparison::new("a turn", "ms")
        }
    }

    #[test]
    fn only_what_the_rounds_agree_on_is_worse_or_better() {
        let all = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0];
        let times = |factor: f64| all.map(|figure| figure * factor);
        for (after, verdict) in [
            (times(1.0), Verdict::Alike),
            // The machine drifts, and the pairs drift with it.
            (times(1.04), Verdict::Worse),
            (times(1.02), Verdict::Alike),
            (times(0.96), Verdict::Better),
            // Two of seven speak against it.
            ([9.0, 21.0, 28.0, 43.0, 55.0, 66.0, 77.0], Verdict::Alike),
        ] {
            assert_eq!(comparison(&all, &after).verdict(), verdict, "{after:?}");
        }
        assert_eq!(comparison(&[], &all).verdict(), Verdict::New);
        assert_eq!(comparison(&all, &[]).verdict(), Verdict::Gone);
        assert_eq!(comparison(&[0.0], &[0.0]).verdict(), Verdict::Alike);
    }

    #[test]
    fn few_rounds_must_all_agree_and_many_more_than_chance_has_it() {
        for (against, rounds, is_none) in [
            (0, 1, true),
            (1, 2, false),
            (0, 6, true),
            (1, 6, false),
            (5, 21, true),
            (6, 21, false),
            (380, 800, false),
            (360, 800, true),
        ] {
            assert_eq!(
                is_no_chance(against, rounds),
                is_none,
                "{against} of {rounds}"
            );
        }
    }
}
