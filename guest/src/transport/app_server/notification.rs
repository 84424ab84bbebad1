//! One notification of `codex app-server`, read as far as it concerns a turn.
//!
//! The shapes are those that codex 0.135 to 0.169 send; anything newer is [`Said::Unknown`], never an error.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use core::mem;

use super::failure;
use super::item;
use super::usage::{self, Count};
use crate::bindings::turns::{BlockKind, FailureKind, Usage};
use crate::json::Json;
use crate::transport::retry::{UNNUMBERED, retry};
use crate::transport::text::reason;
use crate::transport::warning::warning;
use crate::transport::{Item, Malformed, Phase, Said};

/// What begins the names of notifications that say nothing of a turn that is not said elsewhere, or that are about
/// something else than a turn.
const NOT_ABOUT_TURNS: [&str; 28] = [
    "account/",
    "app/",
    "autoApprovalReview/",
    "command/exec/",
    // About how this host calls codex.
    "deprecationNotice",
    "externalAgentConfig/",
    "fs/",
    "fuzzyFileSearch/",
    "hook/",
    "item/autoApprovalReview/",
    "item/commandExecution/terminalInteraction",
    "item/fileChange/",
    "item/mcpToolCall/progress",
    "item/plan/delta",
    "item/reasoning/",
    "mcpServer/",
    "model/safetyBuffering/",
    "model/verification",
    "modelProvider/",
    "process/",
    "project/",
    "remoteControl/",
    "serverRequest/",
    "skills/",
    "thread/",
    "turn/diff/",
    "turn/moderationMetadata",
    "windows",
];

/// How many parts of a reasoning may be without a text: codex has not been seen to write one.
const MOST_PARTS_BETWEEN: u64 = 8;

/// Reads the notifications of one turn.
#[derive(Debug)]
pub struct Reader {
    /// Whose notifications count. A sub-agent has a thread of its own, and what it does is that agent's.
    thread_id: String,
    /// The turn, once codex has named it. Items of an earlier one may still come, when its tools have been ended.
    turn_id: Option<String>,
    count: Count,
    /// The reasoning that is being written: its item, and which part of its summary.
    reasoning: Option<(String, u64)>,
}

impl Reader {
    /// For a turn in this thread, which had these totals before it, where they are known.
    pub fn new(thread_id: String, totals: Option<Usage>) -> Self {
        Reader {
            thread_id,
            turn_id: None,
            count: Count::new(totals),
            reasoning: None,
        }
    }

    /// The thread's totals, as codex has last said them.
    pub fn totals(&self) -> Option<Usage> {
        self.count.totals()
    }

    /// Reads one line, without its line feed. Nothing if it says nothing of this turn.
    pub fn read<'a>(&mut self, line: &'a str) -> Result<Option<Said<'a>>, Malformed> {
        let mut document = Json::parse_nested(line).map_err(|error| Malformed {
            reason: format!("{error}"),
        })?;
        let Some(method) = document.take_text("method") else {
            return Err(Malformed {
                reason: "no `method`".into(),
            });
        };
        let params = document.take("params").unwrap_or(Json::Null);
        if !self.is_about_this_thread(&params) {
            return Ok(None);
        }
        Ok(match &*method {
            "turn/started" => self.started(&params),
            "turn/completed" => self.completed(&params),
            "thread/tokenUsage/updated" => self.used(&params),
            "warning" | "guardianWarning" => Some(warning(Cow::Owned(reason(&params)))),
            // `codex exec` keeps these to itself.
            "configWarning" => Some(Said::Configuration {
                message: config_warning(&params),
            }),
            "model/rerouted" => Some(Said::ModelChanged {
                previous: params.text("fromModel").map(ToOwned::to_owned),
                model: params.text("toModel").unwrap_or_default().to_owned(),
                message: Cow::Owned(params.text("reason").unwrap_or_default().to_owned()),
            }),
            _ if !self.is_about_this_turn(&params) => None,
            "error" => Some(error(&params)),
            "item/started" => read_item(Phase::Started, params),
            "item/completed" => read_item(Phase::Completed, params),
            "item/agentMessage/delta" => piece(BlockKind::Text, params),
            "item/reasoning/summaryTextDelta" => self.reasoning(params),
            "item/commandExecution/outputDelta" => written(params),
            "turn/plan/updated" => Some(Said::Item {
                phase: Phase::Updated,
                item: Item::Plan {
                    steps: item::plan(&params),
                },
            }),
            other if NOT_ABOUT_TURNS.iter().any(|begin| other.starts_with(begin)) => None,
            other => Some(Said::Unknown {
                kind: other.to_owned(),
            }),
        })
    }

    /// What names no thread is about all.
    fn is_about_this_thread(&self, params: &Json<'_>) -> bool {
        let thread_id = params.text("threadId");
        thread_id.is_none_or(|thread_id| thread_id == self.thread_id)
    }

    /// What names no turn is about the one that runs.
    fn is_about_this_turn(&self, params: &Json<'_>) -> bool {
        params
            .text("turnId")
            .is_none_or(|turn_id| self.turn_id.as_deref() == Some(turn_id))
    }

    fn started(&mut self, params: &Json<'_>) -> Option<Said<'static>> {
        let turn_id = params.get("turn")?.text("id")?;
        if self.turn_id.is_none() {
            self.turn_id = Some(turn_id.to_owned());
        }
        Some(Said::Began)
    }

    fn completed(&mut self, params: &Json<'_>) -> Option<Said<'static>> {
        let turn = params.get("turn")?;
        if self.turn_id.as_deref() != turn.text("id") {
            return None;
        }
        let error = turn.get("error");
        let message = error.map(reason);
        let kind = error
            .and_then(|error| error.get("codexErrorInfo"))
            .and_then(failure::kind);
        Some(match (turn.text("status"), message) {
            // The totals came before.
            (Some("completed"), _) => Said::Completed { totals: None },
            (Some("interrupted"), _) => Said::Interrupted,
            (_, Some(message)) => Said::Failed { message, kind },
            (Some("failed"), None) => Said::Failed {
                message: String::new(),
                kind: None,
            },
            (status, None) => Said::Failed {
                message: other_end(status),
                kind: Some(FailureKind::Protocol),
            },
        })
    }

    fn used(&mut self, params: &Json<'_>) -> Option<Said<'static>> {
        let usage = params.get("tokenUsage")?;
        if !self.is_about_this_turn(params) {
            // When a thread is resumed, codex repeats what was counted before.
            if self.turn_id.is_none()
                && let Some(totals) = usage::totals(usage)
            {
                self.count.begins_with(totals);
            }
            return None;
        }
        self.count.take(usage).map(Said::Used)
    }

    fn reasoning<'a>(&mut self, params: Json<'a>) -> Option<Said<'a>> {
        let part = params.count("summaryIndex").unwrap_or_default();
        let item_id = params.text("itemId").unwrap_or_default();
        let before = match &mut self.reasoning {
            Some((item, before)) if item == item_id => mem::replace(before, part),
            reasoning => {
                *reasoning = Some((item_id.to_owned(), part));
                0
            }
        };
        let mut said = piece(BlockKind::Thinking, params);
        // A part without a text has no piece.
        let parts_between = part.saturating_sub(before).min(MOST_PARTS_BETWEEN);
        if let Some(Said::Piece { text, .. }) = &mut said {
            for _ in 0..parts_between {
                text.to_mut().insert_str(0, item::BETWEEN_PARTS);
            }
        }
        said
    }
}

/// The words for an end that this version does not know.
fn other_end(status: Option<&str>) -> String {
    match status {
        Some(status) => format!("codex ended the turn as `{status}`"),
        None => "codex ended the turn and did not say how".into(),
    }
}

fn read_item(phase: Phase, mut params: Json<'_>) -> Option<Said<'_>> {
    let item = item::read(params.take("item")?)?;
    Some(Said::Item { phase, item })
}

fn piece(kind: BlockKind, mut params: Json<'_>) -> Option<Said<'_>> {
    Some(Said::Piece {
        kind,
        item_id: params.take_text("itemId").unwrap_or_default(),
        text: params.take_text("delta")?,
    })
}

fn written(mut params: Json<'_>) -> Option<Said<'_>> {
    Some(Said::ToolOutput {
        item_id: params.take_text("itemId")?,
        text: params.take_text("delta")?,
    })
}

/// Most errors are not the end; codex says whether it goes on.
fn error(params: &Json<'_>) -> Said<'static> {
    let error = params.get("error");
    let mut message = error.map(reason).unwrap_or_default();
    let details = error.and_then(|error| error.text("additionalDetails"));
    let tries_again = matches!(params.get("willRetry"), Some(Json::Bool(true)));
    // As `codex exec` puts them together.
    if let Some(details) = details {
        message = format!("{message} ({details})");
    }
    Said::Error {
        retry: tries_again.then(|| retry(&message).unwrap_or(UNNUMBERED)),
        message,
    }
}

fn config_warning(params: &Json<'_>) -> String {
    let summary = params.text("summary").unwrap_or_default();
    match params.text("details") {
        Some(details) => format!("{summary} ({details})"),
        None => summary.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::bindings::turns::{PlanStep, Reconnection, StepStatus};
    use crate::transport::{Retry, Tool as _, Used};

    const STARTED: &str =
        r#"{"method":"turn/started","params":{"threadId":"main","turn":{"id":"now"}}}"#;

    /// A reader of the turn `now` in the thread `main`, which has begun.
    fn reader() -> Reader {
        let mut reader = Reader::new("main".into(), None);
        assert_eq!(reader.read(STARTED), Ok(Some(Said::Began)));
        reader
    }

    /// A notification of that turn, with these parameters besides.
    fn of_turn(method: &str, params: &str) -> String {
        format!(
            r#"{{"method":"{method}","params":{{"threadId":"main","turnId":"now",{params}}},"emittedAtMs":1}}"#
        )
    }

    fn piece(kind: BlockKind, text: &'static str) -> Said<'static> {
        Said::Piece {
            kind,
            item_id: "i".into(),
            text: text.into(),
        }
    }

    #[test]
    fn text_comes_in_pieces_and_then_whole() {
        let mut reader = reader();
        let delta = of_turn("item/agentMessage/delta", r#""itemId":"i","delta":"he""#);
        assert_eq!(reader.read(&delta), Ok(Some(piece(BlockKind::Text, "he"))));
        let whole = of_turn(
            "item/completed",
            r#""item":{"type":"agentMessage","id":"i","text":"hello","phase":"final_answer"}"#,
        );
        let item = Item::Message {
            id: "i".into(),
            text: "hello".into(),
        };
        assert_eq!(
            reader.read(&whole),
            Ok(Some(Said::Item {
                phase: Phase::Completed,
                item
            }))
        );
    }

    #[test]
    fn the_parts_of_a_reasoning_are_joined_as_its_whole_is() {
        let mut reader = reader();
        let mut written = |item: &str, part: u64, delta: &str| {
            let params = format!(r#""itemId":"{item}","summaryIndex":{part},"delta":"{delta}""#);
            let line = of_turn("item/reasoning/summaryTextDelta", &params);
            match reader.read(&line) {
                Ok(Some(Said::Piece { text, .. })) => text.into_owned(),
                other => panic!("{other:?}"),
            }
        };
        let pieces = [
            written("a", 0, "**One**"),
            written("a", 0, " more"),
            written("a", 1, "**Two**"),
            // The third has no text.
            written("a", 3, "**Four**"),
            written("b", 0, "other"),
            written("c", 1, "second"),
        ];
        assert_eq!(
            pieces,
            [
                "**One**",
                " more",
                "\n**Two**",
                "\n\n**Four**",
                "other",
                "\nsecond"
            ]
        );
        assert!(written("d", u64::MAX, "x").len() < 20);
    }

    #[test]
    fn what_a_command_prints_is_passed_on() {
        let line = of_turn(
            "item/commandExecution/outputDelta",
            r#""itemId":"c","delta":"2\n""#,
        );
        assert_eq!(
            reader().read(&line),
            Ok(Some(Said::ToolOutput {
                item_id: "c".into(),
                text: "2\n".into()
            }))
        );
    }

    #[test]
    fn a_plan_comes_whole_each_time() {
        let line = of_turn(
            "turn/plan/updated",
            r#""explanation":null,"plan":[{"step":"Look","status":"inProgress"}]"#,
        );
        let steps = Vec::from([PlanStep {
            text: "Look".into(),
            status: StepStatus::InProgress,
        }]);
        assert_eq!(
            reader().read(&line),
            Ok(Some(Said::Item {
                phase: Phase::Updated,
                item: Item::Plan { steps }
            }))
        );
    }

    #[test]
    fn a_file_change_has_its_diff() {
        let line = of_turn(
            "item/started",
            r#""item":{"type":"fileChange","id":"f","changes":[{"path":"/w/a","kind":{"type":"add"},"diff":"x\n"}],"status":"inProgress"}"#,
        );
        match reader().read(&line) {
            Ok(Some(Said::Item {
                phase: Phase::Started,
                item: Item::Tool(mut tool),
            })) => assert_eq!(
                tool.call().input,
                r#"{"changes":[{"path":"/w/a","kind":"add","diff":"x\n"}]}"#
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_sub_agent_says_or_an_earlier_turn_still_does_is_not_of_this_turn() {
        for params in [
            // A sub-agent has a thread of its own.
            r#""threadId":"other","turnId":"now""#,
            r#""threadId":"other","turnId":"its""#,
            // A tool of an interrupted turn, whose end comes late.
            r#""threadId":"main","turnId":"before""#,
        ] {
            for (method, rest) in [
                ("item/agentMessage/delta", r#""itemId":"i","delta":"x""#),
                (
                    "item/completed",
                    r#""item":{"type":"agentMessage","id":"i","text":"x"}"#,
                ),
                (
                    "item/completed",
                    r#""item":{"type":"commandExecution","id":"c","command":"ls","status":"failed"}"#,
                ),
                (
                    "item/commandExecution/outputDelta",
                    r#""itemId":"c","delta":"x""#,
                ),
                ("turn/plan/updated", r#""plan":[]"#),
                ("error", r#""error":{"message":"x"},"willRetry":false"#),
                ("item/hologram", r#""x":1"#),
                (
                    "thread/tokenUsage/updated",
                    r#""tokenUsage":{"total":{"inputTokens":1,"outputTokens":1}}"#,
                ),
            ] {
                let mut reader = reader();
                let line = format!(r#"{{"method":"{method}","params":{{{params},{rest}}}}}"#);
                assert_eq!(reader.read(&line), Ok(None), "{line}");
                assert_eq!(reader.totals(), None, "{line}");
            }
        }
        for end in [
            r#"{"threadId":"other","turn":{"id":"its","status":"completed"}}"#,
            r#"{"threadId":"main","turn":{"id":"before","status":"interrupted"}}"#,
        ] {
            let line = format!(r#"{{"method":"turn/completed","params":{end}}}"#);
            assert_eq!(reader().read(&line), Ok(None), "{line}");
        }
    }

    #[test]
    fn nothing_is_of_a_turn_that_has_not_begun() {
        let mut reader = Reader::new("main".into(), None);
        let delta = of_turn("item/agentMessage/delta", r#""itemId":"i","delta":"x""#);
        assert_eq!(reader.read(&delta), Ok(None));
        let end = r#"{"method":"turn/completed","params":{"threadId":"main","turn":{"id":"now","status":"completed"}}}"#;
        assert_eq!(reader.read(end), Ok(None));
    }

    #[test]
    fn a_turn_succeeds_only_if_codex_says_so() {
        let end = |turn: &str| {
            let line = format!(
                r#"{{"method":"turn/completed","params":{{"threadId":"main","turn":{{"id":"now",{turn}}}}}}}"#
            );
            match reader().read(&line) {
                Ok(Some(Said::Completed { totals: None })) => "completed".into(),
                Ok(Some(Said::Interrupted)) => "interrupted".into(),
                Ok(Some(Said::Failed { message, kind })) => format!("{message} {kind:?}"),
                other => panic!("{other:?}"),
            }
        };
        for (turn, expected) in [
            (r#""status":"completed","error":null"#, "completed"),
            (r#""status":"interrupted""#, "interrupted"),
            (
                r#""status":"failed","error":{"message":"no","codexErrorInfo":"unauthorized"}"#,
                "no Some(FailureKind::Auth)",
            ),
            (
                r#""status":"failed","error":{"message":"no","codexErrorInfo":"other"}"#,
                "no None",
            ),
            (r#""status":"failed""#, " None"),
            (
                r#""status":"paused""#,
                "codex ended the turn as `paused` Some(FailureKind::Protocol)",
            ),
            (
                r#""status":"paused","error":{"message":"no","codexErrorInfo":"unauthorized"}"#,
                "no Some(FailureKind::Auth)",
            ),
            (
                r#""error":null"#,
                "codex ended the turn and did not say how Some(FailureKind::Protocol)",
            ),
        ] {
            assert_eq!(end(turn), expected, "{turn}");
        }
    }

    #[test]
    fn an_error_says_whether_codex_tries_again() {
        let read = |params: &str| {
            let line = of_turn("error", params);
            match reader().read(&line) {
                Ok(Some(Said::Error { message, retry })) => (message, retry),
                other => panic!("{other:?}"),
            }
        };
        let cut = r#""error":{"message":"Reconnecting... 1/5","codexErrorInfo":{"responseStreamDisconnected":{"httpStatusCode":null}},"additionalDetails":"cut"}"#;
        let first = Retry::Request(Reconnection {
            attempt: Some(1),
            attempts: Some(5),
        });
        assert_eq!(
            read(&format!(r#"{cut},"willRetry":true"#)),
            ("Reconnecting... 1/5 (cut)".into(), Some(first))
        );
        assert_eq!(
            read(&format!(r#"{cut},"willRetry":false"#)),
            ("Reconnecting... 1/5 (cut)".into(), None)
        );
        assert_eq!(
            read(r#""error":{"message":"waiting for network"},"willRetry":true"#).1,
            Some(Retry::Network)
        );
        assert_eq!(
            read(r#""error":{"message":"once more"},"willRetry":true"#).1,
            Some(UNNUMBERED)
        );
    }

    fn used(turn: &str, input: u64) -> String {
        format!(
            r#"{{"method":"thread/tokenUsage/updated","params":{{"threadId":"main","turnId":"{turn}","tokenUsage":{{"total":{{"totalTokens":9,"inputTokens":{input},"outputTokens":1}},"last":{{"totalTokens":8}},"modelContextWindow":100}}}}}}"#
        )
    }

    fn of_this_turn(said: Result<Option<Said<'_>>, Malformed>) -> Option<u64> {
        match said {
            Ok(Some(Said::Used(Used { turn, .. }))) => Some(turn?.input_tokens),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_repeated_when_a_thread_is_resumed_is_what_the_turn_is_counted_from() {
        let mut reader = Reader::new("main".into(), None);
        assert_eq!(reader.read(&used("before", 500)), Ok(None));
        assert!(reader.read(STARTED).is_ok());
        assert_eq!(of_this_turn(reader.read(&used("now", 700))), Some(200));
        // A late one of an earlier turn changes nothing.
        assert_eq!(reader.read(&used("before", 600)), Ok(None));
        assert_eq!(of_this_turn(reader.read(&used("now", 750))), Some(250));
        assert_eq!(reader.totals().map(|totals| totals.input_tokens), Some(750));
    }

    #[test]
    fn without_that_a_turn_is_counted_from_what_was_stored() {
        let stored = Usage {
            input_tokens: 500,
            cached_input_tokens: None,
            cache_write_input_tokens: None,
            output_tokens: 0,
            reasoning_output_tokens: None,
        };
        let mut reader = Reader::new("main".into(), Some(stored));
        assert_eq!(reader.totals(), Some(stored));
        assert!(reader.read(STARTED).is_ok());
        assert_eq!(of_this_turn(reader.read(&used("now", 700))), Some(200));
    }

    #[test]
    fn warnings_need_no_turn_and_what_codex_says_of_its_configuration_is_apart() {
        let mut reader = Reader::new("main".into(), None);
        for (line, expected) in [
            (
                r#"{"method":"warning","params":{"threadId":"main","message":"mind it"}}"#,
                Said::Warning {
                    message: "mind it".into(),
                },
            ),
            (
                r#"{"method":"warning","params":{"threadId":"main","message":"This session was recorded with model `a` but is resuming with `b`."}}"#,
                Said::ModelChanged {
                    previous: Some("a".into()),
                    model: "b".into(),
                    message: "This session was recorded with model `a` but is resuming with `b`."
                        .into(),
                },
            ),
            (
                r#"{"method":"configWarning","params":{"summary":"no bwrap","details":"install it"}}"#,
                Said::Configuration {
                    message: "no bwrap (install it)".into(),
                },
            ),
            (
                r#"{"method":"model/rerouted","params":{"threadId":"main","turnId":"now","fromModel":"a","toModel":"b","reason":"risk"}}"#,
                Said::ModelChanged {
                    previous: Some("a".into()),
                    model: "b".into(),
                    message: "risk".into(),
                },
            ),
        ] {
            assert_eq!(reader.read(line), Ok(Some(expected)), "{line}");
        }
        let other = r#"{"method":"warning","params":{"threadId":"other","message":"mind it"}}"#;
        assert_eq!(reader.read(other), Ok(None));
    }

    #[test]
    fn what_is_newer_is_unknown_and_what_is_not_about_turns_is_nothing() {
        for (method, is_unknown) in [
            ("item/hologram/delta", true),
            ("hologram", true),
            ("item/reasoning/textDelta", false),
            ("item/fileChange/patchUpdated", false),
            ("thread/status/changed", false),
            ("account/rateLimits/updated", false),
        ] {
            let line = of_turn(method, r#""x":1"#);
            let expected = is_unknown.then(|| Said::Unknown {
                kind: method.into(),
            });
            assert_eq!(reader().read(&line), Ok(expected), "{method}");
        }
    }

    #[test]
    fn what_is_no_notification_is_malformed() {
        for (line, reason) in [
            ("", "EOF"),
            ("codex: starting", "expected"),
            ("[]", "`method`"),
            (r#"{"method":7}"#, "`method`"),
        ] {
            let malformed = reader().read(line).unwrap_err();
            assert!(malformed.reason.contains(reason), "{line}: {malformed:?}");
        }
        // A kind that is known, with nothing of what makes it one.
        for method in [
            "turn/started",
            "turn/completed",
            "item/started",
            "item/agentMessage/delta",
            "item/commandExecution/outputDelta",
            "thread/tokenUsage/updated",
        ] {
            let line = format!(r#"{{"method":"{method}"}}"#);
            assert_eq!(reader().read(&line), Ok(None), "{line}");
        }
    }
}
