//! How hard the model is to think.

use alloc::format;

use crate::bindings::settings::Model;
use crate::bindings::turns::FailureKind;
use crate::request::Unusable;

/// Refuses an effort that the model is known not to take, or that cannot be one.
pub fn check(effort: &str, model: &Model) -> Result<(), Unusable> {
    let invalid = |message| Err((FailureKind::InvalidRequest, message));
    if !is_effort(effort) {
        return invalid(format!(
            "The effort {effort:?} cannot be one: name it with at most 32 letters, digits, `-` and `_`, as in `high`."
        ));
    }
    if !model.efforts.is_empty() && !model.efforts.iter().any(|known| known == effort) {
        return invalid(format!(
            "The model `{}` does not take the effort `{effort}`; it takes: {}.",
            model.id,
            model.efforts.join(", ")
        ));
    }
    Ok(())
}

/// The host has the same rule in `host-shim/src/contract/effort.rs`, written twice on purpose: the host checks what
/// it puts into a call of codex, and does not rely on the component.
fn is_effort(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    #[test]
    fn an_effort_is_one_of_the_known_ones_or_at_least_a_plain_word() {
        let mut model = Model {
            id: "m".into(),
            args: vec![],
            display_name: None,
            context_window: None,
            images: true,
            efforts: vec![],
        };
        for effort in ["high", "x-high", "NONE_1"] {
            assert!(check(effort, &model).is_ok(), "{effort}");
        }
        for effort in ["", "very high", "a\"b", "\n", &"x".repeat(33)] {
            assert!(check(effort, &model).is_err(), "{effort}");
        }
        model.efforts = ["low", "high"].map(|effort| effort.to_string()).to_vec();
        assert!(check("low", &model).is_ok());
        let (kind, message) = check("medium", &model).unwrap_err();
        assert_eq!(kind, FailureKind::InvalidRequest);
        assert!(message.ends_with("it takes: low, high."), "{message}");
    }
}
