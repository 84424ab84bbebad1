//! Why a turn failed, as codex classifies it.

use crate::bindings::turns::FailureKind as Kind;
use crate::json::Json;

/// The kind of failure that a `codexErrorInfo` names; nothing for `other`, or for what this version does not know. It is a
/// word, or an object with that word for its only member.
pub fn kind(info: &Json<'_>) -> Option<Kind> {
    if let Some(word) = info.as_text() {
        return by_word(word);
    }
    let Json::Object(members) = info else {
        return None;
    };
    let (word, details) = members.first()?;
    let status = details.count("httpStatusCode");
    match &**word {
        "httpConnectionFailed"
        | "responseStreamConnectionFailed"
        | "responseStreamDisconnected"
        | "responseTooManyFailedAttempts" => by_status(status),
        word => by_word(word),
    }
}

fn by_word(word: &str) -> Option<Kind> {
    Some(match word {
        "contextWindowExceeded" => Kind::ContextOverflow,
        "usageLimitExceeded" | "sessionBudgetExceeded" => Kind::UsageLimit,
        "rateLimitExceeded" => Kind::RateLimited,
        "serverOverloaded"
        | "internalServerError"
        | "flexUnavailable"
        | "policyCapacityUnavailable" => Kind::Overloaded,
        "modelNotFound" => Kind::ModelUnsupported,
        "unauthorized" => Kind::Auth,
        "badRequest" | "cyberPolicy" | "misalignmentPolicyViolation" | "inferenceHookDenied" => {
            Kind::InvalidRequest
        }
        _ => return None,
    })
}

/// Nothing where the words of the service say more.
fn by_status(status: Option<u64>) -> Option<Kind> {
    match status {
        None => Some(Kind::Network),
        Some(401 | 403) => Some(Kind::Auth),
        Some(429) => Some(Kind::RateLimited),
        Some(500..) => Some(Kind::Overloaded),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codex_names_the_kind_in_a_word_or_in_an_object() {
        for (info, expected) in [
            (r#""usageLimitExceeded""#, Some(Kind::UsageLimit)),
            (r#""contextWindowExceeded""#, Some(Kind::ContextOverflow)),
            (r#""other""#, None),
            (r#""somethingNew""#, None),
            (
                r#"{"httpConnectionFailed":{"httpStatusCode":401}}"#,
                Some(Kind::Auth),
            ),
            (
                r#"{"httpConnectionFailed":{"httpStatusCode":503}}"#,
                Some(Kind::Overloaded),
            ),
            (r#"{"httpConnectionFailed":{"httpStatusCode":400}}"#, None),
            (
                r#"{"responseTooManyFailedAttempts":{"httpStatusCode":429}}"#,
                Some(Kind::RateLimited),
            ),
            (
                r#"{"responseStreamDisconnected":{"httpStatusCode":null}}"#,
                Some(Kind::Network),
            ),
            (r#"{"unauthorized":{}}"#, Some(Kind::Auth)),
            ("{}", None),
            ("null", None),
            ("7", None),
        ] {
            assert_eq!(kind(&Json::parse(info).unwrap()), expected, "{info}");
        }
    }
}
