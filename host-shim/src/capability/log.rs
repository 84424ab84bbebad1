//! The import `log`: the component's log messages, as many as it may write.

use wasmtime::Result;

use super::CodexCtx;
use crate::capability::bindings::log;

impl log::Host for CodexCtx {
    fn write(&mut self, level: log::Level, message: String) -> Result<()> {
        let Some(message) = self.budget.take_log(level, &message) else {
            return Ok(());
        };
        match level {
            log::Level::Trace => {
                tracing::trace!(target: "plexum_openai_provider::guest", "{message}")
            }
            log::Level::Debug => {
                tracing::debug!(target: "plexum_openai_provider::guest", "{message}")
            }
            log::Level::Info => {
                tracing::info!(target: "plexum_openai_provider::guest", "{message}")
            }
            log::Level::Warn => {
                tracing::warn!(target: "plexum_openai_provider::guest", "{message}")
            }
            log::Level::Error => {
                tracing::error!(target: "plexum_openai_provider::guest", "{message}")
            }
        }
        Ok(())
    }
}
