//! What each kind of failure means to a person and to a runtime.

use crate::bindings::turns::FailureKind as Kind;

/// One kind of failure.
pub struct Meaning {
    /// Whether it makes sense to try the same request again soon.
    pub retryable: bool,
    /// What happened.
    pub what: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What this kind means.
pub fn meaning(kind: Kind) -> Meaning {
    let (retryable, what, remedy) = match kind {
        Kind::NotInstalled => (
            false,
            "Codex is not installed",
            "Install it with `npm install -g @openai/codex` and set `binary` to its absolute path.",
        ),
        Kind::Auth => (
            false,
            "Codex is not logged in, or its login was refused",
            "Run `codex login` as the user that runs this, or store an API key with `codex login --with-api-key`; for a custom model provider, check its API key.",
        ),
        Kind::ModelUnsupported => (
            false,
            "This account or provider does not offer the model",
            "Use the model `codex`, which leaves the choice to codex, or correct `supported_models` and `model_args`.",
        ),
        Kind::UsageLimit => (
            false,
            "The account's usage limit is reached",
            "Wait until the limit resets, or change the plan or the login.",
        ),
        Kind::RateLimited => (true, "The service is limiting requests", "Try again later."),
        Kind::Overloaded => (
            true,
            "The service is at capacity",
            "Try again later, or use another model.",
        ),
        Kind::ContextOverflow => (
            false,
            "The conversation no longer fits the model's context window",
            "Begin a new conversation: in an editor a new session, and for the workspace's own `plexum-openai-provider session reset`.",
        ),
        Kind::Network => (
            true,
            "Codex could not reach the service",
            "Check the network and the proxy settings of this machine, then try again.",
        ),
        Kind::InvalidRequest => (
            false,
            "The service did not complete the request",
            "Change the request as described.",
        ),
        Kind::SessionLost => (
            false,
            "Codex no longer has the stored conversation",
            "Restore codex's `sessions` folder, or begin a new conversation: in an editor a new session, and for the workspace's own `plexum-openai-provider session reset`.",
        ),
        Kind::SessionBusy => (
            true,
            "Another process is using this conversation",
            "Wait for it to end, or end it, then try again.",
        ),
        Kind::SessionArchived => (
            false,
            "The conversation was archived",
            "Run `codex unarchive` with the id of the thread, or begin a new conversation: in an editor a new session, and for the workspace's own `plexum-openai-provider session reset`.",
        ),
        Kind::SessionUnreadable => (
            false,
            "The record of the conversation cannot be read or written",
            "Correct what the text names, or begin a new conversation: in an editor a new session, and for the workspace's own `plexum-openai-provider session reset`, which keeps the old one.",
        ),
        Kind::SessionMoved => (
            true,
            "Another machine has gone on with the conversation",
            "Send the message again: the turn then goes on from there.",
        ),
        Kind::StoreUnavailable => (
            true,
            "The place where conversations are kept does not answer",
            "Try again; if this persists, check that it runs and can be reached.",
        ),
        Kind::SessionTooLarge => (
            false,
            "The conversation is larger than the store accepts",
            "Raise the limit that the text names, or begin a new conversation: in an editor a new session, and for the workspace's own `plexum-openai-provider session reset`.",
        ),
        Kind::Resources => (
            true,
            "This machine has run out of something that the turn needs",
            "Free some of it, then try again.",
        ),
        Kind::Config => (
            false,
            "The configuration is wrong",
            "Correct it in `config.json` of this plugin or in `config.toml` in codex's home folder.",
        ),
        Kind::UntrustedDirectory => (
            false,
            "Codex does not trust the workspace",
            "Run codex once in the workspace and trust it.",
        ),
        Kind::CliIncompatible => (
            false,
            "This version of codex does not accept the arguments",
            "Install codex 0.135 or newer, and check `extra_args` and `model_args`.",
        ),
        Kind::PromptTooLarge => (
            false,
            "The prompt is too long for codex",
            "Shorten it, or put it into a file in the workspace and name the file.",
        ),
        Kind::StartTimeout => (
            true,
            "Codex printed nothing within the start-up time",
            "Try again; if this persists, run codex by hand in the workspace.",
        ),
        Kind::IdleTimeout => (
            true,
            "Codex printed nothing for too long",
            "Try again; raise the idle limit if the work really takes that long.",
        ),
        Kind::TurnTimeout => (
            false,
            "The turn took longer than allowed",
            "Ask for less in one turn, or raise the turn limit.",
        ),
        Kind::Killed => (
            true,
            "The turn was stopped",
            "The conversation is kept: send the next message to go on.",
        ),
        Kind::Protocol => (
            false,
            "Codex ended without saying how the turn ended",
            "Run `codex --version` (0.135 or newer is needed) and codex by hand in the workspace.",
        ),
        Kind::Denied => (
            false,
            "The host does not allow what this turn needs",
            "Change config.json if it should be allowed.",
        ),
        Kind::Internal => (
            false,
            "The provider has a defect",
            "Report it, and include this text.",
        ),
    };
    Meaning {
        retryable,
        what,
        remedy,
    }
}
