//! What is reported of many measurements of one thing.

/// The middle of many figures, and the two that half of them lie between.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The middle.
    pub median: f64,
    /// A quarter are below.
    pub low: f64,
    /// A quarter are above.
    pub high: f64,
}

impl Spread {
    /// `None` of no figures.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(figures);
        Some(Spread {
            median: of_sorted(&sorted, 0.5)?,
            low: of_sorted(&sorted, 0.25)?,
            high: of_sorted(&sorted, 0.75)?,
        })
    }
}

/// The figure below which `share` of them lie, between two of them where it falls there. `None` of no figures.
pub fn quantile(figures: impl IntoIterator<Item = f64>, share: f64) -> Option<f64> {
    of_sorted(&sorted(figures), share)
}

fn sorted(figures: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn of_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = last as f64 * share;
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_lies_between_the_quartiles() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (2.0, 3.0, 4.0));
        let spread = Spread::of([1.0, 2.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (1.25, 1.5, 1.75));
        assert!(Spread::of([]).is_none());
    }
}
