//! Token counts. Codex reports the thread's running totals, across processes; a
//! turn's own usage is the difference to the totals before it.

use crate::bindings::session::Totals;
use crate::bindings::turns::Usage;

/// The totals of a conversation that has not begun, or that codex restarts.
pub const ZERO: Totals = Totals {
    input_tokens: 0,
    cached_input_tokens: Some(0),
    cache_write_input_tokens: Some(0),
    output_tokens: 0,
    reasoning_output_tokens: Some(0),
};

/// This turn's usage: nothing when the totals before it are not known, or are larger,
/// which means that codex restarted its count at some unknown moment.
pub fn since(baseline: Option<&Totals>, total: &Usage) -> Option<Usage> {
    let baseline = baseline?;
    Some(Usage {
        input_tokens: total.input_tokens.checked_sub(baseline.input_tokens)?,
        cached_input_tokens: part_since(baseline.cached_input_tokens, total.cached_input_tokens)?,
        cache_write_input_tokens: part_since(
            baseline.cache_write_input_tokens,
            total.cache_write_input_tokens,
        )?,
        output_tokens: total.output_tokens.checked_sub(baseline.output_tokens)?,
        reasoning_output_tokens: part_since(
            baseline.reasoning_output_tokens,
            total.reasoning_output_tokens,
        )?,
    })
}

/// The same for what not every codex counts: absent when it does not, or has only begun to. Nothing when it restarted
/// its count.
fn part_since(baseline: Option<u64>, total: Option<u64>) -> Option<Option<u64>> {
    match (baseline, total) {
        (Some(baseline), Some(total)) => Some(Some(total.checked_sub(baseline)?)),
        _ => Some(None),
    }
}

/// Whether anything was counted. A service that counts nothing makes codex report zeros, and no
/// turn reads nothing.
pub fn is_counted(usage: &Usage) -> bool {
    usage.input_tokens > 0 || usage.output_tokens > 0
}

/// The record to keep of these totals.
pub fn to_totals(usage: &Usage) -> Totals {
    Totals {
        input_tokens: usage.input_tokens,
        cached_input_tokens: usage.cached_input_tokens,
        cache_write_input_tokens: usage.cache_write_input_tokens,
        output_tokens: usage.output_tokens,
        reasoning_output_tokens: usage.reasoning_output_tokens,
    }
}

/// The same totals, as a usage.
pub const fn of_totals(totals: &Totals) -> Usage {
    Usage {
        input_tokens: totals.input_tokens,
        cached_input_tokens: totals.cached_input_tokens,
        cache_write_input_tokens: totals.cache_write_input_tokens,
        output_tokens: totals.output_tokens,
        reasoning_output_tokens: totals.reasoning_output_tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, cache_write: Option<u64>) -> Usage {
        Usage {
            input_tokens: input,
            cached_input_tokens: Some(10),
            cache_write_input_tokens: cache_write,
            output_tokens: 30,
            reasoning_output_tokens: Some(5),
        }
    }

    #[test]
    fn a_turn_is_the_difference() {
        let before = to_totals(&usage(1200, Some(4)));
        let turn = since(Some(&before), &usage(2500, Some(6))).unwrap();
        assert_eq!(
            (
                turn.input_tokens,
                turn.output_tokens,
                turn.cache_write_input_tokens
            ),
            (1300, 0, Some(2))
        );
        assert_eq!(
            since(Some(&ZERO), &usage(1200, None)),
            Some(usage(1200, None))
        );
    }

    #[test]
    fn without_a_baseline_or_after_a_restart_the_turn_is_unknown() {
        assert_eq!(since(None, &usage(1, None)), None);
        assert_eq!(
            since(Some(&to_totals(&usage(2, None))), &usage(1, None)),
            None
        );
    }
}
