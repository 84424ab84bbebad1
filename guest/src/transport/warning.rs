//! Codex's warnings, one of which names another model.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;

use crate::transport::Said;

/// What a warning in these words says.
pub fn warning(message: Cow<'_, str>) -> Said<'_> {
    match other_model(&message) {
        Some((previous, model)) => Said::ModelChanged {
            previous: Some(previous),
            model,
            message,
        },
        None => Said::Warning { message },
    }
}

/// The names in "This session was recorded with model `a` but is resuming with `b`.", which is all that codex says of
/// models when it goes on with another one.
fn other_model(message: &str) -> Option<(String, String)> {
    let rest = message.strip_prefix("This session was recorded with model `")?;
    let (previous, rest) = rest.split_once('`')?;
    let rest = rest.strip_prefix(" but is resuming with `")?;
    let (model, _) = rest.split_once('`')?;
    Some((previous.to_owned(), model.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_warning_that_names_both_models_is_a_change() {
        let message = "This session was recorded with model `a` but is resuming with `b`. Mind it.";
        assert_eq!(
            warning(message.into()),
            Said::ModelChanged {
                previous: Some("a".into()),
                model: "b".into(),
                message: message.into()
            }
        );
        for message in [
            "low disk",
            "This session was recorded with model `a`",
            "This session was recorded with model `a` but is resuming with `b",
        ] {
            let message = Cow::Borrowed(message);
            assert_eq!(warning(message.clone()), Said::Warning { message });
        }
    }
}
