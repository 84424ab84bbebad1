//! What was said in a conversation, from codex's own record of its thread, the [rollout](super::rollout).
//!
//! Codex documents its form nowhere. A message is an event there (0.135: `user_message`, `agent_message`,
//! `agent_reasoning`), or an item that is complete (0.169: `item_completed`), and in one file there may be both, as a
//! later codex goes on with what an earlier one has begun. A message in any other form is an error, so that nothing is
//! told with something left out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use crate::session::place::at;
use crate::session::rollout::Rollout;
use crate::session::store::{SessionError, SessionErrorKind};

/// The longest line that is read, in bytes. The longest ones hold images.
const MOST_LINE_BYTES: u64 = 64 * 1024 * 1024;

/// How much text is told, in bytes.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What was said in a conversation, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct History {
    /// The messages.
    pub said: VecDeque<Said>,
    /// Whether these are not all: of a conversation with more than 16 MiB of text, they are the last ones, and a line that
    /// is damaged, or longer than 64 MiB, is passed over.
    pub is_cut: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Said {
    /// A prompt, as it was given to codex; `[image]` stands for an image.
    User(String),
    /// A text of the model's answer.
    Agent(String),
    /// A summary of the model's reasoning.
    Thought(String),
}

impl Said {
    fn text(&self) -> &str {
        match self {
            Said::User(text) | Said::Agent(text) | Said::Thought(text) => text,
        }
    }
}

/// What was said in this thread.
///
/// # Errors
/// [`SessionErrorKind::Lost`] if there is no record of it, [`SessionErrorKind::Unreadable`] if it cannot be read.
pub fn of_thread(codex_home: &Path, thread_id: &str) -> Result<History, SessionError> {
    let Some(rollout) = Rollout::now(codex_home, thread_id, None) else {
        let message = format!(
            "codex has no record of the thread {thread_id} in {}",
            codex_home.display()
        );
        return Err(SessionError::new(SessionErrorKind::Lost, message));
    };
    let path = codex_home.join(rollout.path);
    let history = File::open(&path).and_then(|file| read(BufReader::new(file)));
    history.map_err(|error| {
        let said = at(&path, "cannot be read", error).to_string();
        SessionError::new(SessionErrorKind::Unreadable, said)
    })
}

/// In which form a message stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Event,
    Item,
}

fn read(mut rollout: impl BufRead) -> io::Result<History> {
    let mut history = History::default();
    let (mut bytes, mut number) = (0, 0_u64);
    let mut last_form = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        number += 1;
        if rollout
            .by_ref()
            .take(MOST_LINE_BYTES)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(history);
        }
        if line.len() as u64 == MOST_LINE_BYTES && !line.ends_with(b"\n") {
            rollout.skip_until(b'\n')?;
            history.is_cut = true;
            continue;
        }
        let Ok(Line { r#type, payload }) = serde_json::from_slice(&line) else {
            // What a crash has left; without an end, it is what codex is writing just now.
            history.is_cut |= line.ends_with(b"\n");
            continue;
        };
        if r#type != "event_msg" {
            continue;
        }
        let message = payload.map_or(Ok(None), message).map_err(|error| {
            let said = format!("line {number} has a form that this program does not know: {error}");
            io::Error::new(ErrorKind::InvalidData, said)
        })?;
        let Some((form, said)) = message else {
            continue;
        };
        // A codex that writes both forms says it twice.
        let is_repeated =
            last_form.is_some_and(|last| last != form) && history.said.back() == Some(&said);
        last_form = Some(form);
        if is_repeated {
            continue;
        }
        bytes += said.text().len();
        history.said.push_back(said);
        while bytes > MOST_BYTES
            && let Some(first) = history.said.pop_front()
        {
            bytes -= first.text().len();
            history.is_cut = true;
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
}

/// The message that an event is, if it is one.
fn message(payload: &RawValue) -> serde_json::Result<Option<(Form, Said)>> {
    #[derive(Deserialize)]
    struct User {
        message: String,
        #[serde(default)]
        images: Option<Vec<IgnoredAny>>,
        #[serde(default)]
        local_images: Option<Vec<IgnoredAny>>,
    }
    #[derive(Deserialize)]
    struct Agent {
        message: String,
    }
    #[derive(Deserialize)]
    struct Reasoning {
        text: String,
    }
    #[derive(Deserialize)]
    struct Completed<'a> {
        #[serde(borrow)]
        item: &'a RawValue,
    }

    let text = payload.get();
    let Tag { r#type } = serde_json::from_str(text)?;
    let said = match &*r#type {
        "user_message" => {
            let user: User = serde_json::from_str(text)?;
            let images = [user.images, user.local_images];
            let images = images.iter().flatten().map(Vec::len).sum::<usize>();
            let mut parts = vec![user.message];
            parts.resize(parts.len() + images, IMAGE.to_owned());
            Said::User(joined(parts))
        }
        "agent_message" => Said::Agent(serde_json::from_str::<Agent>(text)?.message),
        "agent_reasoning" => Said::Thought(serde_json::from_str::<Reasoning>(text)?.text),
        "item_completed" => {
            let Completed { item } = serde_json::from_str(text)?;
            return Ok(self::item(item)?.map(|said| (Form::Item, said)));
        }
        _ => return Ok(None),
    };
    Ok(Some((Form::Event, said)))
}

/// The message that an item is, if it is one.
fn item(item: &RawValue) -> serde_json::Result<Option<Said>> {
    #[derive(Deserialize)]
    struct Message {
        content: Vec<Part>,
    }
    #[derive(Deserialize)]
    struct Part {
        r#type: String,
        #[serde(default)]
        text: Option<String>,
    }
    #[derive(Deserialize)]
    struct Reasoning {
        summary_text: Vec<String>,
    }

    fn content(item: &RawValue) -> serde_json::Result<String> {
        let Message { content } = serde_json::from_str(item.get())?;
        let parts = content.into_iter().map(|Part { r#type, text }| {
            let name = r#type.to_ascii_lowercase();
            match text {
                Some(text) => Ok(text),
                None if name.contains("image") => Ok(IMAGE.to_owned()),
                None => Err(de::Error::custom(
                    format!("a part of the type {type:?}", type = r#type),
                )),
            }
        });
        Ok(joined(parts.collect::<serde_json::Result<_>>()?))
    }

    let Tag { r#type } = serde_json::from_str(item.get())?;
    Ok(match &*r#type {
        "UserMessage" => Some(Said::User(content(item)?)),
        "AgentMessage" => Some(Said::Agent(content(item)?)),
        "Reasoning" => {
            let Reasoning { summary_text } = serde_json::from_str(item.get())?;
            // Without a summary there is nothing to read.
            (!summary_text.is_empty()).then(|| Said::Thought(joined(summary_text)))
        }
        _ => None,
    })
}

/// What stands for an image.
const IMAGE: &str = "[image]";

fn joined(parts: Vec<String>) -> String {
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(payload: Value) -> String {
        format!(
            "{}\n",
            json!({"timestamp": "t", "type": "event_msg", "payload": payload})
        )
    }

    fn user(text: &str) -> String {
        event(json!({"type": "user_message", "message": text, "images": [], "local_images": []}))
    }

    fn item(item: Value) -> String {
        event(json!({"type": "item_completed", "thread_id": "t", "item": item}))
    }

    fn told(rollout: &str) -> History {
        read(rollout.as_bytes()).unwrap()
    }

    #[test]
    fn both_forms_are_read_and_what_was_not_said_is_passed_over() {
        let rollout = [
            json!({"type": "session_meta", "payload": {"id": "t"}}).to_string() + "\n",
            json!({"type": "response_item", "payload": {"type": "message", "role": "user", "content": []}}).to_string() + "\n",
            json!({"type": "something_new"}).to_string() + "\n",
            event(json!({"type": "task_started"})),
            event(json!({"type": "user_message", "message": "look", "images": null, "local_images": ["/a"]})),
            event(json!({"type": "agent_reasoning", "text": "hm"})),
            event(json!({"type": "agent_message", "message": "a cat", "phase": null})),
            item(json!({"type": "UserMessage", "id": "1", "content": [{"type": "text", "text": "and"}, {"type": "local_image", "path": "/b"}]})),
            item(json!({"type": "Reasoning", "summary_text": ["one", "two"]})),
            item(json!({"type": "Reasoning", "summary_text": []})),
            item(json!({"type": "CommandExecution", "command": ["ls"]})),
            item(json!({"type": "AgentMessage", "content": [{"type": "Text", "text": "a dog"}]})),
        ];
        let said = [
            Said::User("look\n\n[image]".to_owned()),
            Said::Thought("hm".to_owned()),
            Said::Agent("a cat".to_owned()),
            Said::User("and\n\n[image]".to_owned()),
            Said::Thought("one\n\ntwo".to_owned()),
            Said::Agent("a dog".to_owned()),
        ];
        let history = told(&rollout.concat());
        assert_eq!((history.said, history.is_cut), (said.into(), false));
    }

    #[test]
    fn what_stands_there_in_both_forms_is_told_once_and_what_was_said_twice_is_told_twice() {
        let as_item =
            item(json!({"type": "UserMessage", "content": [{"type": "text", "text": "go on"}]}));
        let both = [user("go on"), as_item.clone()].concat();
        assert_eq!(told(&both).said.len(), 1);
        assert_eq!(told(&[user("go on"), user("go on")].concat()).said.len(), 2);
        assert_eq!(told(&[as_item.clone(), as_item].concat()).said.len(), 2);
    }

    #[test]
    fn a_message_of_another_form_is_an_error_with_its_line() {
        for odd in [
            event(json!({"type": "user_message", "text": "x"})),
            item(json!({"type": "AgentMessage", "content": "x"})),
            item(json!({"type": "UserMessage", "content": [{"type": "audio", "data": "x"}]})),
            event(json!(7)),
        ] {
            let rollout = [user("one"), odd.clone()].concat();
            let error = read(rollout.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("line 2 "), "{odd}: {error}");
        }
    }

    #[test]
    fn a_line_that_is_damaged_is_left_out_and_that_is_said() {
        let whole = [user("one"), user("two")].concat();
        let begun = &user("lost")[..40];
        let history = told(&format!("{begun}\n{whole}"));
        assert_eq!((history.said.len(), history.is_cut), (2, true));
        // Codex writes it just now.
        let history = told(&format!("{whole}{begun}"));
        assert_eq!((history.said.len(), history.is_cut), (2, false));
    }

    #[test]
    fn of_too_much_the_last_is_told() {
        let long = "x".repeat(MOST_BYTES / 2);
        let rollout: String = ["a", "b", "c"]
            .map(|name| user(&format!("{name}{long}")))
            .concat();
        let history = told(&rollout);
        assert!(history.is_cut);
        let firsts: Vec<_> = history.said.iter().map(|said| &said.text()[..1]).collect();
        assert_eq!(firsts, ["c"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let long = user(&"x".repeat(usize::try_from(MOST_LINE_BYTES).unwrap()));
        let history = told(&[user("one"), long, user("two")].concat());
        assert_eq!((history.said.len(), history.is_cut), (2, true));
    }

    #[test]
    fn a_thread_without_a_record_is_lost() {
        let home = tempfile::tempdir().unwrap();
        let error = of_thread(home.path(), "01a215f0-83f3-7a93-a4bf-ac302d6a3744").unwrap_err();
        assert_eq!(error.kind, SessionErrorKind::Lost, "{error}");
    }
}
