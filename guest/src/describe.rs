//! What this provider says of itself.

use alloc::string::ToString;

use crate::bindings::settings::{Instructions, Model as Configured, Settings, Transport};
use crate::bindings::turns::{Capabilities, Description, InputKinds, Model};

/// The description under these settings.
pub fn describe(settings: Settings) -> Description {
    Description {
        id: "plexum-openai-provider".to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        capabilities: capabilities(&settings),
        models: settings.models.into_iter().map(model).collect(),
    }
}

/// `codex exec` gives texts whole, and says nothing of a tool while it runs; an app-server gives both piece by piece.
fn capabilities(settings: &Settings) -> Capabilities {
    let mut all = Capabilities::IMAGES
        | Capabilities::RESUMABLE
        | Capabilities::STRUCTURED_OUTPUT
        | Capabilities::EFFORT;
    if settings.instructions == Instructions::Developer {
        all = all | Capabilities::INSTRUCTIONS;
    }
    if settings.transport == Transport::AppServer {
        all = all | Capabilities::STREAMING_DELTAS | Capabilities::TOOL_UPDATES;
    }
    all
}

fn model(model: Configured) -> Model {
    Model {
        id: model.id,
        display_name: model.display_name,
        context_window: model.context_window,
        inputs: if model.images {
            InputKinds::IMAGE
        } else {
            InputKinds::empty()
        },
        efforts: model.efforts,
    }
}
