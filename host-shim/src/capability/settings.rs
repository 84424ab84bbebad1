//! The import `settings`: the part of the configuration that the component decides by.

use wasmtime::Result;

use super::CodexCtx;
use crate::capability::bindings::settings;
use crate::config::{LostSession, PromptTransport, Sandbox};

impl settings::Host for CodexCtx {
    fn get(&mut self) -> Result<settings::Settings> {
        let config = &self.config;
        let models = config.supported_models.iter();
        Ok(settings::Settings {
            models: models
                .map(|id| settings::ModelArgs {
                    id: id.clone(),
                    args: config.args_of(id),
                })
                .collect(),
            extra_args: config.extra_args.clone(),
            sandbox: match config.sandbox {
                Sandbox::DangerFullAccess => settings::Sandbox::DangerFullAccess,
                Sandbox::WorkspaceWrite => settings::Sandbox::WorkspaceWrite,
                Sandbox::ReadOnly => settings::Sandbox::ReadOnly,
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
        })
    }
}
