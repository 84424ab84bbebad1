//! What is wrong with what an operator has set.

use crate::session::store::{SessionError, SessionErrorKind};

/// What is wrong with the settings, and what to do. Never shows a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

impl SettingsError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        SettingsError(message.into())
    }
}

impl From<SettingsError> for SessionError {
    fn from(SettingsError(message): SettingsError) -> Self {
        SessionError::new(SessionErrorKind::Denied, message)
    }
}
