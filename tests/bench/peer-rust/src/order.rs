//! In which order sides are measured.

/// All numbers below `count`: each round begins with another, and whom one follows changes too.
pub fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    let divides = |by: usize, step: usize| count.is_multiple_of(by) && step.is_multiple_of(by);
    let steps = (1..count.max(2)).filter(|&step| !(2..=step).any(|by| divides(by, step)));
    let steps: Vec<usize> = steps.collect();
    let step = steps[round % steps.len()];
    (0..count).map(move |place| (round + place * step) % count)
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn each_round_has_everybody_once() {
        for (round, count) in (0..20).flat_map(|round| (1..12).map(move |count| (round, count))) {
            let mut all: Vec<usize> = order(round, count).collect();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
        let before = |round, one| {
            let all: Vec<usize> = order(round, 9).collect();
            let place = all.iter().position(|other| *other == one);
            all[place.unwrap() - 1]
        };
        assert_eq!((before(0, 5), before(1, 5)), (4, 3));
    }
}
