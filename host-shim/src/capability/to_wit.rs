//! A request, as the component gets it.

use crate::capability::bindings::provider as wit;
use crate::contract::request::{Content, Request, Role};

/// The request as the component gets it: images are numbers, and only those of the prompt are
/// there.
pub fn to_wit(request: Request) -> wit::Request {
    let prompt = request.prompt_position();
    let mut images = 0;
    let messages = request
        .messages
        .into_iter()
        .enumerate()
        .map(|(position, message)| wit::Message {
            role: match message.role {
                Role::System => wit::Role::System,
                Role::User => wit::Role::User,
                Role::Assistant => wit::Role::Assistant,
            },
            content: message
                .content
                .into_iter()
                .filter_map(|piece| match piece {
                    Content::Text { text } => Some(wit::Content::Text(text)),
                    Content::Image { .. } if Some(position) == prompt => {
                        images += 1;
                        Some(wit::Content::Image(images - 1))
                    }
                    Content::Image { .. } => None,
                })
                .collect(),
        });
    wit::Request {
        messages: messages.collect(),
        model: request.model,
    }
}
