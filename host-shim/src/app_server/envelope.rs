//! What the host reads of a line of `codex app-server`: whose it is. Nothing else.
//!
//! Of the first answer: `userAgent`, for the version, and `codexHome`. Of any: `id`, `error.code` and `error.message`, of the
//! `result` that opens a conversation `thread.id`, `thread.path`, `model`, `cwd`, `approvalPolicy` and `sandbox.type`, and of
//! the one that begins a turn `turn.id`. Of a request: `id`. Of a notification: `method`, and of `turn/started` and
//! `turn/completed` `params.threadId` and `params.turn.id`.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A line.
#[derive(Debug)]
pub enum Envelope<'a> {
    /// The answer to one of our requests.
    Answer { id: u64, answer: Answer<'a> },
    /// A request of codex, to be refused.
    Request { id: &'a RawValue },
    /// The turn has begun.
    TurnStarted {
        thread_id: Cow<'a, str>,
        turn_id: Cow<'a, str>,
    },
    /// The turn is over.
    TurnCompleted {
        thread_id: Cow<'a, str>,
        turn_id: Cow<'a, str>,
    },
    /// Anything else: it is the component's to read.
    Other,
}

/// An answer.
#[derive(Debug)]
pub enum Answer<'a> {
    /// What was asked for.
    Result(&'a RawValue),
    /// Codex refuses, as `codex exec` would say it.
    Error(String),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorMember {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TurnParams<'a> {
    #[serde(borrow)]
    thread_id: Cow<'a, str>,
    #[serde(borrow)]
    turn: TurnMember<'a>,
}

#[derive(Deserialize)]
struct TurnMember<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// Reads a line. What is no message at all is the component's to complain of.
pub fn read(line: &str) -> Envelope<'_> {
    let Ok(line) = serde_json::from_str::<Line<'_>>(line) else {
        return Envelope::Other;
    };
    match (line.id, line.method) {
        (Some(id), Some(_)) => Envelope::Request { id },
        (Some(id), None) => {
            let Ok(id) = serde_json::from_str(id.get()) else {
                return Envelope::Other;
            };
            let answer = match (line.error, line.result) {
                (Some(error), _) => Answer::Error(match serde_json::from_str(error.get()) {
                    Ok(ErrorMember { code, message }) => format!("{message} (code {code})"),
                    // In another form it is a refusal all the same.
                    Err(_) => error.get().to_owned(),
                }),
                (None, Some(result)) => Answer::Result(result),
                (None, None) => Answer::Error("the answer holds nothing (code 0)".into()),
            };
            Envelope::Answer { id, answer }
        }
        (None, Some(method)) => {
            let is_start = method == "turn/started";
            if !is_start && method != "turn/completed" {
                return Envelope::Other;
            }
            let params = line.params.map(RawValue::get).unwrap_or_default();
            let Ok(params) = serde_json::from_str::<TurnParams<'_>>(params) else {
                return Envelope::Other;
            };
            let (thread_id, turn_id) = (params.thread_id, params.turn.id);
            if is_start {
                Envelope::TurnStarted { thread_id, turn_id }
            } else {
                Envelope::TurnCompleted { thread_id, turn_id }
            }
        }
        (None, None) => Envelope::Other,
    }
}

/// The id in the answer to a prompt.
pub fn turn_id(result: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Begun<'a> {
        #[serde(borrow)]
        turn: TurnMember<'a>,
    }
    let begun: Begun<'_> = serde_json::from_str(result.get()).ok()?;
    Some(begun.turn.id.into_owned())
}

/// A conversation, as codex says that it has opened it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenedThread {
    /// Which.
    pub thread: ThreadMember,
    /// Which model answers.
    #[serde(default)]
    pub model: Option<String>,
    /// In which folder.
    pub cwd: String,
    /// Who approves.
    pub approval_policy: String,
    /// In which sandbox.
    pub sandbox: SandboxMember,
}

/// Its thread.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadMember {
    /// Its id.
    pub id: String,
    /// Where codex keeps its record.
    #[serde(default)]
    pub path: Option<String>,
}

/// Its sandbox.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SandboxMember {
    /// Codex's name for it.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The first answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    #[serde(default)]
    user_agent: String,
    /// The folder with codex's login and settings.
    #[serde(default)]
    pub codex_home: Option<PathBuf>,
}

impl Hello {
    /// What the answer says, as far as it can be read.
    pub fn of(result: &str) -> Self {
        serde_json::from_str(result).unwrap_or_default()
    }

    /// Whether this codex can leave out of its answer to `thread/resume` all that was said before. It can since version
    /// 0.160; an older one refuses to be asked for it.
    pub fn leaves_out_history(&self) -> bool {
        let version = || -> Option<(u32, u32)> {
            let (_, version) = self.user_agent.split_once('/')?;
            let mut numbers = version.split(['.', '-', ' ']);
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        };
        version().is_some_and(|version| version >= (0, 160))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_answer_a_request_or_a_notification() {
        assert!(matches!(
            read(r#"{"id":3,"result":{"thread":{"id":"t"}}}"#),
            Envelope::Answer {
                id: 3,
                answer: Answer::Result(_)
            }
        ));
        match read(r#"{"id":3,"error":{"code":-32600,"message":"no rollout found"}}"#) {
            Envelope::Answer {
                answer: Answer::Error(words),
                ..
            } => {
                assert_eq!(words, "no rollout found (code -32600)");
            }
            other => panic!("{other:?}"),
        }
        match read(r#"{"id":3,"error":{"code":"x"}}"#) {
            Envelope::Answer {
                answer: Answer::Error(words),
                ..
            } => assert_eq!(words, r#"{"code":"x"}"#),
            other => panic!("{other:?}"),
        }
        for id in ["0", "\"a\"", "null"] {
            let line = format!(r#"{{"id":{id},"method":"item/tool/call","params":{{}}}}"#);
            let is_request =
                matches!(read(&line), Envelope::Request { id: read } if read.get() == id);
            // `null` counts as no id.
            assert_eq!(is_request, id != "null", "{line}");
        }
        match read(r#"{"method":"turn\/completed","params":{"threadId":"t","turn":{"id":"u"}}}"#) {
            Envelope::TurnCompleted { thread_id, turn_id } => {
                assert_eq!((&*thread_id, &*turn_id), ("t", "u"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn from_a_version_on_the_history_can_be_left_out() {
        for (agent, expected) in [
            (
                "plexum-openai-provider/0.135.0 (Debian 12.0.0; x86_64)",
                false,
            ),
            ("plexum-openai-provider/0.159.9", false),
            ("plexum-openai-provider/0.160.0-alpha.2 (x)", true),
            (
                "plexum-openai-provider/0.169.0 (Debian 12.0.0; x86_64)",
                true,
            ),
            ("plexum-openai-provider/1.0.0", true),
            ("plexum-openai-provider", false),
            ("x/y", false),
        ] {
            let hello = format!(r#"{{"userAgent":"{agent}","codexHome":"/h"}}"#);
            let hello = Hello::of(&hello);
            assert_eq!(hello.leaves_out_history(), expected, "{agent}");
            assert_eq!(hello.codex_home.as_deref(), Some("/h".as_ref()));
        }
        for hello in ["{}", "no", r#"{"userAgent":7}"#] {
            let hello = Hello::of(hello);
            assert!(!hello.leaves_out_history() && hello.codex_home.is_none());
        }
    }

    #[test]
    fn anything_else_is_the_components() {
        for line in [
            "",
            "no JSON",
            "[]",
            "{}",
            r#"{"id":"x","result":{}}"#,
            r#"{"id":-1,"result":{}}"#,
            r#"{"method":"item/started","params":{}}"#,
            r#"{"method":"turn/completed","params":{"threadId":7}}"#,
            r#"{"method":"turn/completed"}"#,
            // A doubled key: which one is meant?
            r#"{"id":1,"id":2,"result":{}}"#,
        ] {
            assert!(matches!(read(line), Envelope::Other), "{line}");
        }
    }
}
