//! The import `settings`: the part of the configuration that the component decides by.

use wasmtime::Result;

use super::CodexCtx;
use crate::capability::bindings::settings;
use crate::config::{
    ChangedInstructions, Instructions, LostSession, PromptTransport, Sandbox, SupportedModel,
    Transport,
};

impl settings::Host for CodexCtx {
    fn get(&mut self) -> Result<settings::Settings> {
        let config = &self.config;
        let models = config.supported_models.iter();
        let model = |model: &SupportedModel| settings::Model {
            id: model.id.clone(),
            args: config.args_of(&model.id),
            display_name: model.display_name.clone(),
            context_window: model.context_window,
            images: model.images,
            efforts: model.efforts.clone(),
        };
        Ok(settings::Settings {
            models: models.map(model).collect(),
            extra_args: config.extra_args.clone(),
            sandbox: match config.sandbox {
                Sandbox::DangerFullAccess => settings::Sandbox::DangerFullAccess,
                Sandbox::WorkspaceWrite => settings::Sandbox::WorkspaceWrite,
                Sandbox::ReadOnly => settings::Sandbox::ReadOnly,
            },
            transport: match config.transport() {
                Transport::Exec => settings::Transport::Exec,
                Transport::AppServer => settings::Transport::AppServer,
            },
            prompt: match config.prompt {
                PromptTransport::Automatic => settings::PromptTransport::Automatic,
                PromptTransport::Stdin => settings::PromptTransport::Stdin,
            },
            lost_session: match config.lost_session {
                LostSession::Replay => settings::LostSession::Replay,
                LostSession::Fresh => settings::LostSession::Fresh,
                LostSession::Fail => settings::LostSession::Fail,
            },
            instructions: match config.instructions {
                Instructions::Developer => settings::Instructions::Developer,
                Instructions::Ignore => settings::Instructions::Ignore,
            },
            changed_instructions: match config.changed_instructions {
                ChangedInstructions::Keep => settings::ChangedInstructions::Keep,
                ChangedInstructions::Restart => settings::ChangedInstructions::Restart,
            },
        })
    }
}
