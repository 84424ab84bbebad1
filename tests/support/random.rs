//! Random choices that are the same ones for the same seed.

/// SplitMix64: enough to choose moments and faults.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to 1.
    pub fn unit(&mut self) -> f64 {
        let mantissa = u32::try_from(self.number() >> 32).unwrap_or(0);
        f64::from(mantissa) / f64::from(u32::MAX)
    }

    /// One of these.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(choices.len()).ok()?;
        let chosen = self.number().checked_rem(count)?;
        choices.get(usize::try_from(chosen).ok()?)
    }
}
