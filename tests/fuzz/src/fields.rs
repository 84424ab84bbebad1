//! The parts of an input.

/// Set apart by this, the records of an input.
pub const RECORD: u8 = 0x1e;

/// Set apart by this, the fields of a record.
pub const FIELD: u8 = 0x1f;

/// The first `N` parts; those that are not there are empty, and what is left over is in the last.
pub fn split<const N: usize>(data: &[u8], separator: u8) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == separator);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The number that the digits in here make, or another one where there are none.
pub fn number(text: &[u8], otherwise: usize) -> usize {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    digits
        .take(6)
        .map(|digit| usize::from(digit - b'0'))
        .fold(None, |number, digit| Some(number.unwrap_or(0) * 10 + digit))
        .unwrap_or(otherwise)
}
