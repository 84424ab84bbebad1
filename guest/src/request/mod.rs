//! The request: what codex is asked, and how.

pub mod effort;
pub mod instructions;
pub mod model;
pub mod output_schema;
pub mod prompt;
pub mod replay;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::settings::{Instructions, Model, Settings};
use crate::bindings::turns::{Content, Event, FailureKind, Message, Request, RequestPart, Role};
use crate::notice::unsupported;

use prompt::Prompt;
use replay::{Reason, Replay, replay};

/// Why a request cannot become a turn: the kind of failure, and a sentence.
pub type Unusable = (FailureKind, String);

/// A request that can become a turn.
#[derive(Debug)]
pub struct Asked {
    /// The model that was chosen.
    pub model: Model,
    /// What codex is asked.
    pub prompt: Prompt,
    /// The instructions that a new conversation is given.
    pub instructions: Option<String>,
    /// Whether an effort is asked for.
    pub effort: bool,
    /// Whether the answer is to have a form.
    pub output_schema: bool,
}

impl Asked {
    /// Checks a request. What cannot be honoured is said in `notices`: every field of it is either honoured, or
    /// said, or an error.
    ///
    /// `session` is the host's: it decides which record the import `session` is about.
    pub fn read(
        request: Request,
        settings: &Settings,
        notices: &mut Vec<Event>,
    ) -> Result<Self, Unusable> {
        let Request {
            model,
            session: _,
            instructions,
            mut messages,
            options,
        } = request;
        let model = model::choose(settings, model.as_deref())?;
        if messages.iter().any(is_system_with_image) {
            let message = "Codex takes no images in system messages; they were left out.";
            notices.push(unsupported(RequestPart::Images, message));
        }
        let mut instructions = instructions::take(instructions, &mut messages);
        if instructions.is_some() && settings.instructions == Instructions::Ignore {
            let message = "The request's instructions and system messages were left out, as `instructions` in config.json says.";
            notices.push(unsupported(RequestPart::Instructions, message));
            instructions = None;
        }
        if let Some(text) = &instructions {
            instructions::check_length(text)?;
        }
        let mut prompt = prompt::find(messages)?;
        prompt::check_length(&prompt.text)?;
        if prompt.later > 0 {
            let message = format!(
                "Codex answers the last message of the user; what came after it was left out ({}).",
                counted(prompt.later, "message")
            );
            notices.push(unsupported(RequestPart::Messages, message));
        }
        if !model.images && !prompt.images.is_empty() {
            let message = format!(
                "The model `{}` takes no images; {} left out.",
                model.id,
                counted(prompt.images.len(), "image")
            );
            notices.push(unsupported(RequestPart::Images, message));
            prompt.images.clear();
        }
        if let Some(effort) = &options.effort {
            effort::check(effort, &model)?;
        }
        if let Some(schema) = &options.output_schema {
            output_schema::check(schema)?;
        }
        Ok(Asked {
            model,
            prompt,
            instructions,
            effort: options.effort.is_some(),
            output_schema: options.output_schema.is_some(),
        })
    }

    /// Whether the request holds messages from before the prompt.
    pub fn has_history(&self) -> bool {
        !self.prompt.earlier.is_empty()
    }

    /// The digest of the instructions.
    pub fn instructions_digest(&self) -> String {
        instructions::digest(self.instructions.as_deref())
    }

    /// The text for codex: the prompt, and with a reason what was said before it. What does not fit is said
    /// in `notices`.
    pub fn text(&self, reason: Option<Reason>, notices: &mut Vec<Event>) -> Cow<'_, str> {
        let Prompt { text, earlier, .. } = &self.prompt;
        let Some(reason) = reason else {
            return Cow::Borrowed(text);
        };
        let Replay {
            text,
            omitted,
            images,
        } = replay(reason, earlier, text);
        if omitted > 0 {
            let message = format!(
                "The new conversation was given the latest earlier messages; {} did not fit.",
                counted(omitted, "message")
            );
            notices.push(unsupported(RequestPart::Messages, message));
        }
        if images > 0 {
            let message = format!(
                "The new conversation was given the earlier messages without their images ({}).",
                counted(images, "image")
            );
            notices.push(unsupported(RequestPart::Images, message));
        }
        Cow::Owned(text)
    }
}

fn is_system_with_image(message: &Message) -> bool {
    message.role == Role::System
        && message
            .content
            .iter()
            .any(|piece| matches!(piece, Content::Image(_)))
}

/// "1 image", "2 images".
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A message of these texts.
#[cfg(test)]
fn test_message(
    role: crate::bindings::turns::Role,
    texts: &[&str],
) -> crate::bindings::turns::Message {
    use crate::bindings::turns::{Content, Message};
    let content = texts.iter().map(|text| Content::Text((*text).into()));
    Message {
        role,
        content: content.collect(),
    }
}
