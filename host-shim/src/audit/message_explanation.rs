//! What the grant says about each member of a message to `codex app-server`.

use std::fmt;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::messages::{
    EFFORT, IMAGE, INSTRUCTIONS, MODEL, Message, PROMPT, SCHEMA, THREAD_ID, TURN_ID, WORKSPACE,
    server_grant,
};
use crate::config::Config;
use crate::config::document::{Content, Node};
use crate::config::key_path::KeyPath;

/// What the grant says about a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MessageExplanation {
    /// Each value, in the order of the text.
    pub members: Vec<ExplainedMember>,
    /// Whether the host may send it; otherwise why not.
    pub outcome: Result<(), String>,
}

/// What the grant says about a value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExplainedMember {
    /// Where it is, as `params.threadId`.
    pub path: String,
    /// Whether the host may write it there.
    pub allowed: bool,
    /// What it is, or why the host does not write it.
    pub meaning: String,
}

impl MessageExplanation {
    /// Explains one line. Whose thread, folder and model they are is not judged: the host fills them in.
    #[must_use]
    pub fn of(config: &Config, line: &str) -> Self {
        let refused = |reason: String| MessageExplanation {
            members: Vec::new(),
            outcome: Err(reason),
        };
        let Some(grant) = server_grant(config) else {
            return refused(
                "nothing is said to a codex that stays: `transport` is \"exec\" in config.json"
                    .into(),
            );
        };
        if let Err(error) = serde_json::from_str::<IgnoredAny>(line) {
            return refused(format!("it is not JSON: {error}"));
        }
        let node = match Node::parse(line) {
            Ok(node) => node,
            Err(mistake) => return refused(mistake.problem.message),
        };
        let Content::Object(members) = &node.content else {
            return refused("it is not an object".into());
        };
        let method = members.iter().find_map(|(key, node)| match &node.content {
            Content::String(method) if key == "method" => Some(method.as_str()),
            _ => None,
        });
        if method == Some("initialized") && members.len() == 1 {
            return MessageExplanation {
                members: vec![allowed(&node.path.key("method"), "codex may begin".into())],
                outcome: Ok(()),
            };
        }
        let method = method.unwrap_or("error");
        let Some(message) = grant.messages.iter().find(|known| known.method == method) else {
            let known: Vec<_> = grant.messages.iter().map(|known| &*known.method).collect();
            return refused(format!(
                "the host never sends `{method}`; it sends {}",
                known.join(", ")
            ));
        };
        let mut reader = Reader {
            members: Vec::new(),
        };
        reader.message(members, message);
        let refusal = reader.members.iter().find(|member| !member.allowed);
        MessageExplanation {
            outcome: match refusal {
                None => Ok(()),
                Some(member) => Err(format!("`{}`: {}", member.path, member.meaning)),
            },
            members: reader.members,
        }
    }
}

struct Reader {
    members: Vec<ExplainedMember>,
}

impl Reader {
    fn message(&mut self, members: &[(String, Node<'_>)], message: &Message) {
        let is_request = message.method != "error";
        let (mut has_params, mut has_id) = (false, false);
        for (position, (key, node)) in members.iter().enumerate() {
            if is_repeated(members, position) {
                self.refuse(&node.path, "the host writes no member twice".into());
                continue;
            }
            match key.as_str() {
                "method" if is_request => self
                    .members
                    .push(allowed(&node.path, message.meaning.clone())),
                "id" => {
                    has_id = true;
                    match &node.content {
                        Content::Number(_) => self.allow(&node.path, "numbers the message"),
                        // That of codex's request may be either.
                        Content::String(_) if !is_request => {
                            self.allow(&node.path, "numbers the request")
                        }
                        _ => self.refuse(&node.path, "is no number".into()),
                    }
                }
                "params" if is_request => {
                    has_params = true;
                    self.value(node, &message.params, &message.optional);
                }
                "error" if !is_request => {
                    has_params = true;
                    self.value(node, &message.params, &[]);
                }
                _ => self.refuse(&node.path, "the host writes no such member".into()),
            }
        }
        if !has_id {
            self.refuse(&KeyPath::default().key("id"), "is missing".into());
        }
        if !has_params {
            let path = KeyPath::default().key(if is_request { "params" } else { "error" });
            self.refuse(&path, "is missing".into());
        }
    }

    /// A value, compared with what the host writes there.
    fn value(&mut self, node: &Node<'_>, template: &Value, optional: &[String]) {
        match (&node.content, template) {
            (Content::Object(members), Value::Object(known)) => {
                for (position, (key, node)) in members.iter().enumerate() {
                    match known.get(key) {
                        _ if is_repeated(members, position) => {
                            self.refuse(&node.path, "the host writes no member twice".into());
                        }
                        Some(template) => self.value(node, template, &[]),
                        None => self.refuse(&node.path, "the host writes no such member".into()),
                    }
                }
                for key in known.keys().filter(|key| !optional.contains(key)) {
                    if !members.iter().any(|(name, _)| name == key) {
                        self.refuse(&node.path.key(key), "is missing".into());
                    }
                }
            }
            // Of the input, the first is the prompt, and the others are images: none, or some.
            (Content::Array(elements), Value::Array(known)) => {
                let is_input = known.last().is_some_and(Value::is_object);
                let at_least = if is_input { 1 } else { known.len() };
                if elements.len() < at_least {
                    self.refuse(&node.path, "is not complete".into());
                }
                for (index, node) in elements.iter().enumerate() {
                    let template = known.get(index);
                    match template.or(known.last().filter(|_| is_input)) {
                        Some(template) => self.value(node, template, &[]),
                        None => self.refuse(&node.path, "the host writes no such element".into()),
                    }
                }
            }
            (content, Value::String(template)) => match (free(template), content) {
                (Some((_, meaning)), Content::String(_)) => self.allow(&node.path, meaning),
                (Some((SCHEMA, meaning)), _) => self.allow(&node.path, meaning),
                (None, Content::String(text)) if text == template => {
                    self.allow(&node.path, "fixed, or by config.json");
                }
                (Some(_), _) => self.refuse(&node.path, "is no text".into()),
                (None, _) => self.refuse(&node.path, format!("the host writes {template:?} here")),
            },
            (Content::Number(written), Value::Number(number)) if *written == number.to_string() => {
                self.allow(&node.path, "fixed");
            }
            (Content::Bool(written), Value::Bool(template)) if written == template => {
                self.allow(&node.path, "fixed");
            }
            (_, template) => self.refuse(&node.path, format!("the host writes {template} here")),
        }
    }

    fn allow(&mut self, path: &KeyPath, meaning: &str) {
        self.members.push(allowed(path, meaning.to_owned()));
    }

    fn refuse(&mut self, path: &KeyPath, reason: String) {
        self.members.push(ExplainedMember {
            path: path.to_string(),
            allowed: false,
            meaning: reason,
        });
    }
}

fn allowed(path: &KeyPath, meaning: String) -> ExplainedMember {
    ExplainedMember {
        path: path.to_string(),
        allowed: true,
        meaning,
    }
}

fn is_repeated(members: &[(String, Node<'_>)], position: usize) -> bool {
    let name = members.get(position).map(|(name, _)| name);
    members
        .iter()
        .take(position)
        .any(|(earlier, _)| Some(earlier) == name)
}

/// The placeholder, and what takes its place.
fn free(template: &str) -> Option<(&'static str, &'static str)> {
    [
        (
            THREAD_ID,
            "the stored thread, or the one that codex has just opened",
        ),
        (
            TURN_ID,
            "the turn that runs; empty as long as codex has not named it",
        ),
        (WORKSPACE, "the workspace"),
        (MODEL, "by the arguments of the request's model"),
        (
            INSTRUCTIONS,
            "the request's instructions and system messages",
        ),
        (PROMPT, "free"),
        (IMAGE, "the host's own copy of an image of the request"),
        (EFFORT, "the request's effort"),
        (SCHEMA, "the request's output schema"),
    ]
    .into_iter()
    .find(|(placeholder, _)| *placeholder == template)
}

impl fmt::Display for MessageExplanation {
    /// One line for each value, then the outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .members
            .iter()
            .map(|member| member.path.chars().count());
        let width = width.max().unwrap_or_default();
        for ExplainedMember {
            path,
            allowed,
            meaning,
        } in &self.members
        {
            let decision = if *allowed { "ok" } else { "refused" };
            writeln!(f, "{path:<width$}  {decision}: {meaning}")?;
        }
        match &self.outcome {
            Ok(()) => f.write_str("allowed"),
            Err(reason) => write!(f, "refused: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sandbox, Transport};

    fn explained(line: &str) -> MessageExplanation {
        let config = Config {
            transport: Some(Transport::AppServer),
            sandbox: Sandbox::ReadOnly,
            ..Config::default()
        };
        MessageExplanation::of(&config, line)
    }

    #[test]
    fn each_message_that_the_host_composes_is_allowed() {
        let config = Config {
            transport: Some(Transport::AppServer),
            ..Config::default()
        };
        for message in server_grant(&config).unwrap().messages {
            let line = match message.method.as_str() {
                "error" => serde_json::json!({ "id": "x", "error": message.params }),
                method => {
                    serde_json::json!({ "id": 1, "method": method, "params": message.params })
                }
            };
            let explanation = MessageExplanation::of(&config, &line.to_string());
            assert_eq!(explanation.outcome, Ok(()), "{line}: {explanation}");
        }
        let begin = MessageExplanation::of(&config, r#"{"method":"initialized"}"#);
        assert_eq!(begin.outcome, Ok(()));
    }

    #[test]
    fn anything_else_is_refused_where_it_differs() {
        let start =
            |params: &str| format!(r#"{{"id":1,"method":"thread/start","params":{params}}}"#);
        for (line, reason) in [
            (start(r#"{"sandbox":"read-only","approvalPolicy":"never"}"#), None),
            (start(r#"{"sandbox":"danger-full-access","approvalPolicy":"never"}"#), Some("`params.sandbox`: the host writes \"read-only\" here")),
            (start(r#"{"sandbox":"read-only"}"#), Some("`params.approvalPolicy`: is missing")),
            (start(r#"{"sandbox":"read-only","approvalPolicy":"never","cwd":"/"}"#), Some("`params.cwd`: the host writes no such member")),
            (start(r#"{"sandbox":"read-only","approvalPolicy":"never","config":{}}"#), Some("`params.config`: the host writes no such member")),
            (start(r#"{"sandbox":"read-only","sandbox":"read-only","approvalPolicy":"never"}"#), Some("`params.sandbox`: the host writes no member twice")),
            (start(r#"{"sandbox":"read-only","approvalPolicy":"never","model":7}"#), Some("`params.model`: is no text")),
            (r#"{"id":1,"method":"fs/writeFile","params":{}}"#.into(), Some("the host never sends `fs/writeFile`")),
            (r#"{"id":1,"method":"turn\u002fstart","params":{"threadId":"t","input":[]}}"#.into(), Some("`params.input`: is not complete")),
            (r#"{"id":1,"method":"turn/start","params":{"threadId":"t","input":[{"type":"text","text":"hi"},{"type":"skill","path":"/x"}]}}"#.into(), Some("the host writes \"localImage\" here")),
            (r#"{"method":"turn/start","params":{"threadId":"t","input":[{"type":"text","text":"hi"}]}}"#.into(), Some("`id`: is missing")),
            (r#"{"id":0,"result":{"decision":"approved"}}"#.into(), Some("`result`: the host writes no such member")),
            ("[]".into(), Some("it is not an object")),
            ("no".into(), Some("it is not JSON")),
        ] {
            match (explained(&line).outcome, reason) {
                (Ok(()), None) => {}
                (Err(said), Some(reason)) => assert!(said.contains(reason), "{line}: {said}"),
                (outcome, _) => panic!("{line}: {outcome:?}"),
            }
        }
        let said = MessageExplanation::of(&Config::default(), "{}")
            .outcome
            .unwrap_err();
        assert!(said.contains("`transport`"), "{said}");
    }
}
