//! The items of a thread, as `codex app-server` writes them.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::vec::Vec;

use super::tool;
use crate::bindings::turns::{PlanStep, StepStatus};
use crate::json::Json;
use crate::transport::Item;
use crate::transport::text::text;

/// What `codex exec` does not show either: the prompt itself, codex's own bookkeeping, and pictures.
const NOT_SHOWN: [&str; 11] = [
    "userMessage",
    "hookPrompt",
    "contextCompaction",
    "imageView",
    "imageGeneration",
    "plan",
    "enteredReviewMode",
    "exitedReviewMode",
    "subAgentActivity",
    "functionCallOutput",
    "sleep",
];

/// Reads one item; nothing for one that is not shown.
pub fn read(mut item: Json<'_>) -> Option<Item<'_>> {
    let name = item
        .take_text("type")
        .unwrap_or(Cow::Borrowed("without type"));
    Some(match &*name {
        "agentMessage" => Item::Message {
            id: item.take_text("id").unwrap_or_default(),
            text: text(&mut item),
        },
        "reasoning" => Item::Reasoning {
            id: item.take_text("id").unwrap_or_default(),
            text: summary(&item).into(),
        },
        name if NOT_SHOWN.contains(&name) => return None,
        other => match tool::kind(other) {
            Some(kind) => Item::Tool(tool::read(kind, name, item)),
            None => Item::Unknown {
                kind: name.into_owned(),
            },
        },
    })
}

/// What is shown of the reasoning: the parts of its summary, joined as `codex exec` joins them.
fn summary(item: &Json<'_>) -> String {
    let parts = item.array("summary");
    let texts: Vec<&str> = parts.iter().filter_map(Json::as_text).collect();
    let text = texts.join(BETWEEN_PARTS);
    if text.trim().is_empty() {
        return String::new();
    }
    text
}

/// What stands between two parts of a reasoning's summary.
pub const BETWEEN_PARTS: &str = "\n";

/// The steps in `turn/plan/updated`.
pub fn plan(params: &Json<'_>) -> Vec<PlanStep> {
    let steps = params.array("plan");
    let read = |step: &Json<'_>| PlanStep {
        text: step.text("step").unwrap_or_default().to_owned(),
        status: match step.text("status") {
            Some("completed") => StepStatus::Completed,
            Some("inProgress") => StepStatus::InProgress,
            _ => StepStatus::Pending,
        },
    };
    steps.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_summary_are_joined_and_one_of_white_space_is_none() {
        for (summary, shown) in [
            (r#"["a","b"]"#, "a\nb"),
            (r#"["a"]"#, "a"),
            (r#"[" ","\n"]"#, ""),
            ("[]", ""),
            ("null", ""),
        ] {
            let item = alloc::format!(r#"{{"type":"reasoning","id":"r","summary":{summary}}}"#);
            let expected = Item::Reasoning {
                id: "r".into(),
                text: shown.into(),
            };
            assert_eq!(read(Json::parse(&item).unwrap()), Some(expected), "{item}");
        }
    }

    #[test]
    fn what_is_not_shown_is_nothing_and_what_is_newer_is_unknown() {
        let read = |item| read(Json::parse(item).unwrap());
        assert_eq!(read(r#"{"type":"userMessage","content":[]}"#), None);
        for (item, kind) in [
            (r#"{"type":"hologram"}"#, "hologram"),
            ("{}", "without type"),
        ] {
            assert_eq!(read(item), Some(Item::Unknown { kind: kind.into() }));
        }
    }

    #[test]
    fn a_plan_says_at_which_step_the_model_is() {
        let params = Json::parse(
            r#"{"plan":[{"step":"a","status":"completed"},{"step":"b","status":"inProgress"},{"status":"new"}]}"#,
        );
        let steps = plan(&params.unwrap());
        let shown: Vec<_> = steps
            .iter()
            .map(|step| (&*step.text, step.status))
            .collect();
        assert_eq!(
            shown,
            [
                ("a", StepStatus::Completed),
                ("b", StepStatus::InProgress),
                ("", StepStatus::Pending)
            ]
        );
    }
}
