//! How long the service asks to wait, from its words.

/// The milliseconds in "try again in 11.054s", "in 6m0s", "in 120ms" or "in 2 hours 5 minutes", rounded up. Absent when no
/// duration follows: a time of day is left in the text, because there is no clock in here.
pub fn retry_after(said: &str) -> Option<u64> {
    const BEFORE: &str = "try again in ";
    let said = said.to_ascii_lowercase();
    let (_, rest) = said.split_once(BEFORE)?;
    let milliseconds = nanoseconds(rest)?.div_ceil(NANOSECONDS / 1000);
    u64::try_from(milliseconds).ok()
}

/// Nanoseconds in a second.
const NANOSECONDS: u128 = 1_000_000_000;

/// The duration that a text begins with: numbers with units, added up.
fn nanoseconds(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut sum: Option<u128> = None;
    while rest.starts_with(|first: char| first.is_ascii_digit()) {
        let (number, behind) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, behind) = split(behind.trim_start_matches(' '), |c| c.is_ascii_alphabetic());
        let part = scaled(number, unit_nanoseconds(unit)?)?;
        sum = Some(sum.unwrap_or(0).checked_add(part)?);
        rest = behind.trim_start_matches(' ');
    }
    sum
}

/// The longest beginning of such characters, and the rest.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn unit_nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => NANOSECONDS / 1000,
        "s" | "sec" | "secs" | "second" | "seconds" => NANOSECONDS,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * NANOSECONDS,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600 * NANOSECONDS,
        "d" | "day" | "days" => 86_400 * NANOSECONDS,
        _ => return None,
    })
}

/// A decimal number of units, rounded up to a nanosecond.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = unit.checked_mul(whole.parse::<u64>().ok()?.into())?;
    if fraction.is_empty() {
        return Some(whole);
    }
    // The service gives three digits; what has more than these is not a duration.
    let digits = u32::try_from(fraction.len())
        .ok()
        .filter(|count| *count <= 18)?;
    let parts = unit.checked_mul(fraction.parse::<u64>().ok()?.into())?;
    whole.checked_add(parts.div_ceil(10_u128.checked_pow(digits)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_rounded_up_to_milliseconds() {
        for (said, milliseconds) in [
            (
                "Rate limit reached. Please try again in 11.054s. Visit",
                11_054,
            ),
            ("try again in 2s", 2000),
            ("try again in 1.00s", 1000),
            ("try again in 0s", 0),
            ("Please try again in 6m0s.", 360_000),
            ("Please try again in 120ms.", 120),
            ("try again in 1000.25ms", 1001),
            ("try again in 1h2m, or", 3_720_000),
            ("try again in 1h2m3.5s", 3_723_500),
            ("try again in 20 seconds", 20_000),
            ("Try again in 3 days 4 hours 5 minutes.", 273_900_000),
        ] {
            assert_eq!(retry_after(said), Some(milliseconds), "{said}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_absent() {
        for said in [
            "try again at 4:35 PM",
            "try again in a while, as",
            "try again in ",
            "try again in 5",
            "try again in 6m0",
            "try again in 5 parsecs",
            "try again in 1.2.3s",
            "try again in .5s",
            "try again in -5s",
            "try again in 99999999999999999999s",
            "try again in 1.0000000000000000000000001s",
        ] {
            assert_eq!(retry_after(said), None, "{said}");
        }
    }
}
