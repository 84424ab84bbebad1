//! The words by which a kind of failure is known.

use crate::bindings::turns::FailureKind as Kind;

/// Words of codex and of the service, lower-case, with plain apostrophes; the first row that
/// matches decides. Measured on codex 0.135 to 0.169.
const PHRASES: &[(Kind, &[&str])] = &[
    // The npm wrapper is a node script, and a service's PATH may lack node.
    (
        Kind::NotInstalled,
        &[
            "node: no such file",
            "node': no such file",
            "node: not found",
            // npm left out the package that holds the program for this machine.
            "missing optional dependency @openai/codex",
        ],
    ),
    // The number of the error decides, whatever codex was at when it came.
    (
        Kind::Resources,
        &[
            "(os error 11)",
            "(os error 12)",
            "(os error 23)",
            "(os error 24)",
            "(os error 28)",
            "(os error 122)",
            "no space left on device",
            "database or disk is full",
            "disk quota exceeded",
            "too many open files",
            "cannot allocate memory",
        ],
    ),
    // Only on standard error, before there is any event.
    (Kind::SessionLost, &["no rollout found"]),
    (Kind::SessionBusy, &["already has an active writer"]),
    (Kind::SessionArchived, &["is archived"]),
    (
        Kind::SessionUnreadable,
        &[
            "failed to read thread",
            "missing an ordinal",
            "is empty (code -32603)",
            "did not contain valid utf-8",
        ],
    ),
    (
        Kind::UntrustedDirectory,
        &["not inside a trusted directory"],
    ),
    (
        Kind::PromptTooLarge,
        &["input_too_large", "input exceeds the maximum length"],
    ),
    (
        Kind::InvalidRequest,
        &["input is not valid utf-8", "no prompt provided"],
    ),
    (
        Kind::CliIncompatible,
        &[
            "unexpected argument",
            "unrecognized subcommand",
            "cannot be used with",
            "invalid value",
            "unknown feature flag",
            "unknown variant",
        ],
    ),
    (
        Kind::Config,
        &[
            "error loading config.toml",
            "failed to load configuration",
            "error finding codex home",
            "model provider `",
            "in-process app-server client",
        ],
    ),
    // In the events. A broken stream may carry any of the others as its reason, so it comes last.
    (
        Kind::ModelUnsupported,
        &[
            "model is not supported",
            "model_not_found",
            "does not exist or you do not have access",
        ],
    ),
    (
        Kind::ContextOverflow,
        &["context window", "context_length_exceeded"],
    ),
    (
        Kind::UsageLimit,
        &[
            "usage limit",
            "quota exceeded",
            "usage_limit_reached",
            "insufficient_quota",
        ],
    ),
    (Kind::RateLimited, &["429 too many requests", "rate limit"]),
    (
        Kind::Auth,
        &[
            "401 unauthorized",
            "403 forbidden",
            "access token could not be refreshed",
            "missing environment variable",
            "not logged in",
            "auth.openai.com",
        ],
    ),
    (
        Kind::Overloaded,
        &[
            "high demand",
            "at capacity",
            "overloaded",
            "503 service unavailable",
        ],
    ),
    (
        Kind::InvalidRequest,
        &[
            "invalid_request",
            "400 bad request",
            "404 not found",
            "incomplete response",
        ],
    ),
    (
        Kind::Network,
        &[
            "stream disconnected",
            "stream closed",
            "error sending request",
            "waiting for network",
            "connection refused",
            "connection reset",
            "timed out",
            "dns error",
        ],
    ),
];

/// The kind of failure that a text describes, if it is a known one.
pub fn kind_of(said: &str) -> Option<Kind> {
    let said = said.replace(['\u{2018}', '\u{2019}'], "'").to_lowercase();
    PHRASES
        .iter()
        .find(|(_, phrases)| phrases.iter().any(|phrase| said.contains(phrase)))
        .map(|(kind, _)| *kind)
}
