//! The model of a turn.

use alloc::format;
use alloc::vec::Vec;

use crate::bindings::settings::{Model, Settings};
use crate::bindings::turns::FailureKind;
use crate::request::Unusable;

/// The model that a request asks for; the first one if it asks for none.
pub fn choose(settings: &Settings, asked: Option<&str>) -> Result<Model, Unusable> {
    let model = match asked {
        None => settings.models.first(),
        Some(id) => settings.models.iter().find(|model| model.id == id),
    };
    model.cloned().ok_or_else(|| {
        let offered: Vec<&str> = settings.models.iter().map(|model| model.id.as_str()).collect();
        let message = format!(
            "The model `{}` is not available; the available models are: {}. Add it to `supported_models` in config.json if the account offers it.",
            asked.unwrap_or("(default)"),
            offered.join(", ")
        );
        (FailureKind::ModelUnsupported, message)
    })
}
