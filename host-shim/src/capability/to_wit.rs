//! A request, as the component gets it.

use crate::capability::bindings::turns as wit;
use crate::contract::request::{Content, Message, Request, RequestOptions, Role};

/// The request as the component gets it. Images are numbers, counted through the whole request.
pub fn to_wit(request: Request) -> wit::Request {
    let Request {
        model,
        session,
        instructions,
        messages,
        options: RequestOptions {
            effort,
            output_schema,
        },
    } = request;
    let mut images = 0..;
    let messages = messages.into_iter();
    wit::Request {
        model,
        session,
        instructions,
        messages: messages
            .map(|message| message_to_wit(message, &mut images))
            .collect(),
        options: wit::Options {
            effort,
            output_schema: output_schema.map(|schema| schema.to_string()),
        },
    }
}

fn message_to_wit(message: Message, images: &mut impl Iterator<Item = u32>) -> wit::Message {
    let content = message.content.into_iter();
    wit::Message {
        role: match message.role {
            Role::System => wit::Role::System,
            Role::User => wit::Role::User,
            Role::Assistant => wit::Role::Assistant,
        },
        content: content
            .filter_map(|piece| match piece {
                Content::Text { text } => Some(wit::Content::Text(text)),
                // No request holds as many images as there are numbers.
                Content::Image { .. } => images.next().map(wit::Content::Image),
            })
            .collect(),
    }
}
