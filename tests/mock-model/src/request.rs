//! One request as the model received it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the user messages begin that codex adds by itself.
const NOT_PROMPTS: [&str; 6] = [
    "<environment_context>",
    "<user_instructions>",
    "<turn_aborted>",
    "<subagent_notification>",
    "<skill>",
    "# AGENTS.md",
];

/// A request that reached the [`MockModel`](super::MockModel), whatever its path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// The HTTP method, in capitals.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Whether it carried an `Authorization` header. The value itself is never kept.
    pub authorized: bool,
    /// The JSON body; a body that is not JSON as a string, no body as null.
    pub body: Value,
}

impl RecordedRequest {
    /// The texts of all input items of role `user`, oldest first. Codex puts words of its own
    /// there too, such as `<environment_context>`.
    #[must_use]
    pub fn user_texts(&self) -> Vec<String> {
        self.input()
            .iter()
            .filter(|item| is_from_user(item))
            .map(item_text)
            .collect()
    }

    /// The texts of all input items of role `developer`, each piece on its own, oldest first. Codex puts words of its own
    /// there too.
    pub fn developer_texts(&self) -> impl Iterator<Item = &str> {
        self.input()
            .iter()
            .filter(|item| item.get("role").and_then(Value::as_str) == Some("developer"))
            .filter_map(|item| item.get("content")?.as_array())
            .flatten()
            .filter_map(|part| part.get("text")?.as_str())
    }

    /// The text of the last input item of role `user`, whoever wrote it.
    #[must_use]
    pub fn last_user_text(&self) -> Option<String> {
        self.user_texts().pop()
    }

    /// The user texts that a user wrote, oldest first.
    #[must_use]
    pub fn prompts(&self) -> Vec<String> {
        self.input()
            .iter()
            .filter(|item| is_prompt(item))
            .map(item_text)
            .collect()
    }

    /// The prompt that this request works on.
    #[must_use]
    pub fn prompt(&self) -> Option<String> {
        self.prompts().pop()
    }

    /// The input items that came after the prompt: what this turn has produced so far.
    fn since_prompt(&self) -> &[Value] {
        let input = self.input();
        let after = input.iter().rposition(is_prompt).map_or(0, |at| at + 1);
        input.get(after..).unwrap_or_default()
    }

    /// The results of tool calls that came after the prompt.
    pub(super) fn tool_outputs(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.since_prompt().iter().filter(|item| {
            kind(item).ends_with("_call_output") || kind(item) == "tool_search_output"
        })
    }

    /// The tools on offer, with those that an earlier `tool_search` found.
    pub(super) fn tools(&self) -> impl Iterator<Item = &Value> {
        let found = self
            .input()
            .iter()
            .filter(|item| kind(item) == "tool_search_output");
        std::iter::once(&self.body)
            .chain(found)
            .filter_map(|holder| holder.get("tools")?.as_array())
            .flatten()
    }

    fn input(&self) -> &[Value] {
        self.body
            .get("input")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }
}

/// The `type` of an input item or a tool.
pub(super) fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn is_from_user(item: &Value) -> bool {
    item.get("role").and_then(Value::as_str) == Some("user")
}

fn is_prompt(item: &Value) -> bool {
    let text = item_text(item);
    is_from_user(item) && !NOT_PROMPTS.iter().any(|opening| text.starts_with(opening))
}

fn item_text(item: &Value) -> String {
    let Some(parts) = item.get("content").and_then(Value::as_array) else {
        return String::new();
    };
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| part.get("text")?.as_str())
        .collect();
    texts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(input: Value) -> RecordedRequest {
        RecordedRequest {
            method: "POST".into(),
            path: "/v1/responses".into(),
            authorized: false,
            body: json!({ "input": input }),
        }
    }

    #[test]
    fn the_prompt_is_the_last_text_that_a_user_wrote() {
        let request = request(json!([
            {"role": "user", "content": [{"text": "<environment_context>"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "echo: one"}]},
            {"role": "user", "content": [{"text": "two"}, {"text": "three"}]},
            {"type": "function_call", "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
            {"role": "user", "content": [{"text": "<subagent_notification>"}]},
        ]));
        assert_eq!(request.user_texts().len(), 4);
        assert_eq!(
            request.last_user_text().as_deref(),
            Some("<subagent_notification>")
        );
        assert_eq!(request.prompts(), ["one", "two\nthree"]);
        assert_eq!(request.prompt().as_deref(), Some("two\nthree"));
        assert_eq!(request.tool_outputs().count(), 1);
    }

    #[test]
    fn a_body_of_another_shape_has_no_prompt() {
        assert_eq!(request(Value::Null).prompt(), None);
    }
}
