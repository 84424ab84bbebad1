//! What a runtime asks for: the conversation, in the canonical form.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A request for one turn. Make one with [`Request::new`] or [`Request::prompt`] and set the other fields.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The model to use; `None` is the first one configured.
    pub model: Option<String>,
    /// Which conversation: a key that means something only to the caller. `None` is the workspace's own.
    pub session: Option<String>,
    /// What the model is to do and to be, for the whole conversation (a system prompt). Messages of
    /// [`Role::System`] are added to it, in order. Codex keeps those that a conversation began with.
    pub instructions: Option<String>,
    /// The conversation, oldest message first. The last one of [`Role::User`] is the prompt;
    /// those before it matter only when codex has no conversation to go on with.
    pub messages: Vec<Message>,
    /// How the model is to work on this turn.
    pub options: RequestOptions,
}

/// How the model is to work on one turn. Begin with [`RequestOptions::default`] and set the fields.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RequestOptions {
    /// How hard it is to think, by codex's own names, such as `low` or `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// A JSON Schema, as it was written: the answer is then one JSON text of that form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Box<RawValue>>,
}

impl PartialEq for RequestOptions {
    fn eq(&self, other: &Self) -> bool {
        let schema = |options: &Self| options.output_schema.as_ref().map(|raw| raw.to_string());
        self.effort == other.effort && schema(self) == schema(other)
    }
}

impl Request {
    /// Where the prompt is among the messages: the last one of the user.
    pub(crate) fn prompt_position(&self) -> Option<usize> {
        self.messages
            .iter()
            .rposition(|message| message.role == Role::User)
    }

    /// Everything that the model is to do and to be: the instructions, and then the texts of the messages of
    /// [`Role::System`], an empty line between any two. `None` if they are all empty.
    ///
    /// The component follows the same rule in `guest/src/request/instructions.rs`, written twice on purpose: the host
    /// hands these over, and only these, whatever the component makes of the request.
    pub(crate) fn all_instructions(&self) -> Option<String> {
        let messages = self.messages.iter();
        let systems = messages.filter(|message| message.role == Role::System);
        let texts = self.instructions.clone().into_iter();
        let texts: Vec<String> = texts
            .chain(systems.map(Message::text))
            .filter(|text| !text.is_empty())
            .collect();
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }

    /// A request of these messages, the oldest first, for the default model.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Self {
        Request {
            messages,
            ..Request::default()
        }
    }

    /// A request of one user message, for the default model.
    pub fn prompt(text: impl Into<String>) -> Self {
        Self::new(vec![Message::user(text)])
    }
}

/// Who said a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Instructions of the runtime.
    System,
    /// The person or program that drives the agent.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation. Make one with [`Message::new`] or [`Message::user`]. In JSON, `content` is an array of pieces or one string.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// Its pieces, in order.
    #[serde(deserialize_with = "pieces_or_text")]
    pub content: Vec<Content>,
}

impl Message {
    /// A message of these pieces, in order.
    #[must_use]
    pub fn new(role: Role, content: Vec<Content>) -> Self {
        Message { role, content }
    }

    /// Its texts, an empty line between any two.
    fn text(&self) -> String {
        let pieces = self.content.iter();
        let texts: Vec<&str> = pieces
            .filter_map(|piece| match piece {
                Content::Text { text } => Some(text.as_str()),
                Content::Image { .. } => None,
            })
            .collect();
        texts.join("\n\n")
    }

    /// A user message of one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, vec![Content::Text { text: text.into() }])
    }
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// An image. Only those of the last user message reach codex.
    Image {
        /// Where it is.
        source: ImageSource,
    },
}

/// Where an image is: PNG, JPEG, GIF or WebP, at most 20 MiB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImageSource {
    /// In a file that this process can read.
    Path {
        /// The file; a relative path starts at the workspace.
        path: PathBuf,
    },
    /// Here.
    Base64 {
        /// Its media type; what counts is the content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        /// Its bytes, in standard base64.
        data: String,
    },
}

fn pieces_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Content>, D::Error> {
    struct Pieces;

    impl<'de> serde::de::Visitor<'de> for Pieces {
        type Value = Vec<Content>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a string, or an array of {\"type\": \"text\", \"text\": …}")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![Content::Text {
                text: text.to_owned(),
            }])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            pieces: A,
        ) -> Result<Self::Value, A::Error> {
            Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(pieces))
        }
    }

    deserializer.deserialize_any(Pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_a_string_or_pieces() {
        let messages: Vec<Message> = serde_json::from_str(
            r#"[{"role":"user","content":"hi"},{"role":"user","content":[{"type":"text","text":"hi"}]}]"#,
        )
        .unwrap();
        assert_eq!(messages, [Message::user("hi"), Message::user("hi")]);
    }

    #[test]
    fn what_is_neither_is_refused_with_the_form_that_is_expected() {
        let error = serde_json::from_str::<Message>(r#"{"role":"user","content":7}"#).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected a string, or an array of"),
            "{error}"
        );
        let error =
            serde_json::from_str::<Message>(r#"{"role":"user","content":[{"type":"audio"}]}"#)
                .unwrap_err();
        assert!(
            error.to_string().contains("unknown variant `audio`"),
            "{error}"
        );
    }
}
