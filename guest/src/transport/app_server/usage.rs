//! Token counts. Codex reports the thread's running totals after each request to the model, the same ones twice if nothing
//! was added. A turn's own usage is what they have grown by.

use crate::bindings::turns::Usage;
use crate::conversation::usage::{ZERO, is_counted, of_totals};
use crate::json::Json;
use crate::transport::Used;

/// The counts of one turn.
#[derive(Debug)]
pub struct Count {
    /// The totals that the next ones are compared with, where they are known.
    before: Option<Usage>,
    /// What this turn has used, as far as that is known.
    turn: Option<Usage>,
}

/// No tokens at all.
const NONE: Usage = of_totals(&ZERO);

impl Count {
    /// For a turn in a thread that had these totals before it; `None` when they are not known.
    pub fn new(before: Option<Usage>) -> Self {
        Count {
            before,
            turn: before.map(|_| NONE),
        }
    }

    /// The totals before the turn, which codex repeats when a thread is resumed.
    pub fn begins_with(&mut self, totals: Usage) {
        *self = Count::new(Some(totals));
    }

    /// The totals as last known.
    pub fn totals(&self) -> Option<Usage> {
        self.before
    }

    /// Takes new totals, the member `tokenUsage` of a notification. Nothing if they are not totals.
    pub fn take(&mut self, token_usage: &Json<'_>) -> Option<Used> {
        let totals = totals(token_usage)?;
        if let (Some(before), Some(turn)) = (self.before, &mut self.turn) {
            // After an overflow codex counts from zero.
            let has_fallen = totals.input_tokens < before.input_tokens
                || totals.output_tokens < before.output_tokens;
            let before = if has_fallen { NONE } else { before };
            *turn = grown(turn, &before, &totals);
        }
        self.before = Some(totals);
        // At an overflow, and while it compacts the conversation, codex says something else in this place.
        let last = token_usage.get("last").filter(|_| is_counted(&totals));
        let context_tokens = last.and_then(|last| last.count("totalTokens"));
        Some(Used {
            turn: self.turn,
            totals,
            context_tokens: context_tokens.filter(|tokens| *tokens > 0),
            context_window: token_usage.count("modelContextWindow"),
        })
    }
}

/// The thread's totals in a `tokenUsage`.
pub fn totals(token_usage: &Json<'_>) -> Option<Usage> {
    let total = token_usage.get("total")?;
    Some(Usage {
        input_tokens: total.count("inputTokens")?,
        cached_input_tokens: total.count("cachedInputTokens"),
        cache_write_input_tokens: total.count("cacheWriteInputTokens"),
        output_tokens: total.count("outputTokens")?,
        reasoning_output_tokens: total.count("reasoningOutputTokens"),
    })
}

/// A turn's usage after the totals have gone from `before` to `now`.
fn grown(turn: &Usage, before: &Usage, now: &Usage) -> Usage {
    let all = |turn: u64, before: u64, now: u64| turn.saturating_add(now.saturating_sub(before));
    // Absent where one of them does not count it: what is missing is not zero.
    let part =
        |turn: Option<u64>, before: Option<u64>, now: Option<u64>| Some(all(turn?, before?, now?));
    Usage {
        input_tokens: all(turn.input_tokens, before.input_tokens, now.input_tokens),
        cached_input_tokens: part(
            turn.cached_input_tokens,
            before.cached_input_tokens,
            now.cached_input_tokens,
        ),
        cache_write_input_tokens: part(
            turn.cache_write_input_tokens,
            before.cache_write_input_tokens,
            now.cache_write_input_tokens,
        ),
        output_tokens: all(turn.output_tokens, before.output_tokens, now.output_tokens),
        reasoning_output_tokens: part(
            turn.reasoning_output_tokens,
            before.reasoning_output_tokens,
            now.reasoning_output_tokens,
        ),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn take(count: &mut Count, input: u64, output: u64) -> Option<(u64, u64)> {
        let usage = format!(
            r#"{{"total":{{"totalTokens":9,"inputTokens":{input},"cachedInputTokens":0,"outputTokens":{output},"reasoningOutputTokens":0}},"last":{{"totalTokens":7}},"modelContextWindow":100}}"#
        );
        let used = count.take(&Json::parse(&usage).unwrap()).unwrap();
        let context_tokens = (input > 0).then_some(7);
        assert_eq!(
            (used.context_tokens, used.context_window),
            (context_tokens, Some(100))
        );
        assert_eq!(used.totals.input_tokens, input);
        used.turn
            .map(|turn| (turn.input_tokens, turn.output_tokens))
    }

    #[test]
    fn the_turn_is_what_the_totals_have_grown_by() {
        let mut count = Count::new(Some(NONE));
        assert_eq!(take(&mut count, 1000, 10), Some((1000, 10)));
        assert_eq!(take(&mut count, 3000, 30), Some((3000, 30)));
        // Repeated.
        assert_eq!(take(&mut count, 3000, 30), Some((3000, 30)));
        // An overflow: codex counts from zero.
        assert_eq!(take(&mut count, 0, 0), Some((3000, 30)));
        assert_eq!(take(&mut count, 1200, 5), Some((4200, 35)));
    }

    #[test]
    fn without_the_totals_before_it_a_turn_is_unknown() {
        let mut count = Count::new(None);
        assert_eq!(take(&mut count, 1000, 10), None);
        assert_eq!(take(&mut count, 2000, 10), None);
        let mut count = Count::new(None);
        let before =
            totals(&Json::parse(r#"{"total":{"inputTokens":900,"outputTokens":4}}"#).unwrap());
        count.begins_with(before.unwrap());
        assert_eq!(take(&mut count, 1000, 10), Some((100, 6)));
    }

    #[test]
    fn what_is_not_counted_is_absent() {
        let mut count = Count::new(Some(NONE));
        let usage = Json::parse(r#"{"total":{"inputTokens":1,"outputTokens":2}}"#);
        let turn = count.take(&usage.unwrap()).unwrap().turn.unwrap();
        assert_eq!((turn.cached_input_tokens, turn.output_tokens), (None, 2));
        let usage = Json::parse(r#"{"total":{"inputTokens":1}}"#).unwrap();
        assert!(count.take(&usage).is_none());
        // While it compacts the conversation.
        let usage = r#"{"total":{"inputTokens":1,"outputTokens":2},"last":{"totalTokens":0}}"#;
        let used = count.take(&Json::parse(usage).unwrap()).unwrap();
        assert_eq!(used.context_tokens, None);
    }
}
