//! What a request asks for: every field of it is honoured, or named in a notice, or an error.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::turns::{Content, Failure, FailureKind, Message, Request, RequestPart, Role};

/// How often the prompt is said: once, or twice.
pub const EFFORTS: [&str; 2] = ["once", "twice"];

/// What is asked for.
pub struct Asked {
    pub model: String,
    /// The text of the last message of the user.
    pub prompt: String,
    /// What the answer begins with: the instructions, if there are any.
    pub speaker: String,
    pub times: usize,
    /// What it holds besides, and this provider does not honour.
    pub unsupported: Vec<RequestPart>,
}

impl Asked {
    /// Reads a request.
    pub fn read(request: Request) -> Result<Self, Failure> {
        let Request {
            model,
            session,
            instructions,
            messages,
            options,
        } = request;
        let model = model.unwrap_or_else(|| "echo".to_owned());
        if !["echo", "echo-small"].contains(&model.as_str()) {
            let message =
                format!("The model `{model}` is not available: take `echo` or `echo-small`.");
            return Err(refused(FailureKind::ModelUnsupported, message));
        }
        let mut users = messages.iter().filter(|message| message.role == Role::User);
        let Some(prompt) = users.next_back().map(text_of) else {
            let message = "The request has no message of role `user`: add one.".to_owned();
            return Err(refused(FailureKind::InvalidRequest, message));
        };
        let times = match options.effort.as_deref() {
            None => 1,
            Some(effort) => match EFFORTS.iter().position(|known| *known == effort) {
                Some(position) => position + 1,
                None => {
                    let message =
                        format!("The effort `{effort}` is not known: take `once` or `twice`.");
                    return Err(refused(FailureKind::InvalidRequest, message));
                }
            },
        };
        let is_system = |message: &&Message| message.role == Role::System;
        let systems = messages.iter().filter(is_system);
        let mut speaker: Vec<String> = instructions.into_iter().collect();
        speaker.extend(systems.map(text_of));
        speaker.retain(|text| !text.is_empty());
        if speaker.is_empty() {
            speaker.push("echo".to_owned());
        }
        let has_image = |message: &Message| {
            let mut pieces = message.content.iter();
            pieces.any(|piece| matches!(piece, Content::Image(_)))
        };
        let said = messages.iter().filter(|message| !is_system(message));
        let parts = [
            (RequestPart::Messages, said.count() > 1),
            (RequestPart::Images, messages.iter().any(has_image)),
            (RequestPart::OutputSchema, options.output_schema.is_some()),
            (RequestPart::Session, session.is_some()),
        ];
        Ok(Asked {
            model,
            prompt,
            speaker: speaker.join("\n\n"),
            times,
            unsupported: parts
                .into_iter()
                .filter_map(|(part, is_there)| is_there.then_some(part))
                .collect(),
        })
    }
}

fn text_of(message: &Message) -> String {
    let pieces = message.content.iter();
    let texts: Vec<&str> = pieces
        .filter_map(|piece| match piece {
            Content::Text(text) => Some(text.as_str()),
            Content::Image(_) => None,
        })
        .collect();
    texts.join("\n\n")
}

fn refused(kind: FailureKind, message: String) -> Failure {
    Failure {
        kind,
        message,
        retryable: false,
        retry_after_ms: None,
        detail: None,
    }
}
