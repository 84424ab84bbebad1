//! Why a turn failed: from what codex said on either channel and how it ended, to a
//! kind that a runtime can decide by and a sentence that a person can act on.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::bindings::codex::{Exit, ExitStatus, Refusal, RefusalReason, StopCause};
use crate::bindings::provider::{Failure, FailureKind};
use crate::json::Json;

use FailureKind as Kind;

/// One kind of failure: whether trying again later may help, what happened, and what to do.
struct Meaning {
    kind: Kind,
    retryable: bool,
    what: &'static str,
    remedy: &'static str,
}

const fn meaning(kind: Kind, retryable: bool, what: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        kind,
        retryable,
        what,
        remedy,
    }
}

const MEANINGS: &[Meaning] = &[
    meaning(
        Kind::NotInstalled,
        false,
        "Codex is not installed",
        "Install it with `npm install -g @openai/codex` and set `binary` to its absolute path.",
    ),
    meaning(
        Kind::Auth,
        false,
        "Codex is not logged in, or its login was refused",
        "Run `codex login` as the user that this runs as, or store an API key with `codex login --with-api-key`; for a service of your own, set what the text names.",
    ),
    meaning(
        Kind::ModelUnsupported,
        false,
        "This account or provider does not offer the model",
        "Use the model `codex`, which leaves the choice to codex, or correct `supported_models` and `model_args`.",
    ),
    meaning(
        Kind::UsageLimit,
        false,
        "The account's usage limit is reached",
        "Wait until the limit resets, or change the plan or the login.",
    ),
    meaning(
        Kind::RateLimited,
        true,
        "The service takes fewer requests than this for now",
        "Try again later.",
    ),
    meaning(
        Kind::Overloaded,
        true,
        "The service is at capacity",
        "Try again later, or use another model.",
    ),
    meaning(
        Kind::ContextOverflow,
        false,
        "The conversation no longer fits the model's context window",
        "Begin a new conversation: remove .plexum-codex-session from the workspace.",
    ),
    meaning(
        Kind::Network,
        true,
        "Codex could not reach the service",
        "Check the network and the proxy settings of this machine, then try again.",
    ),
    meaning(
        Kind::InvalidRequest,
        false,
        "The service did not carry out the request",
        "Change the request as the text says.",
    ),
    meaning(
        Kind::SessionLost,
        false,
        "Codex no longer has the stored conversation",
        "Remove .plexum-codex-session from the workspace to begin a new one, or restore codex's `sessions` folder.",
    ),
    meaning(
        Kind::SessionBusy,
        true,
        "Another process is using this conversation",
        "Wait for it to end, or end it, then try again.",
    ),
    meaning(
        Kind::SessionArchived,
        false,
        "The conversation was archived",
        "Run `codex unarchive` with the id in .plexum-codex-session, or remove that file to begin a new conversation.",
    ),
    meaning(
        Kind::SessionUnreadable,
        false,
        "The record of the conversation cannot be read or written",
        "Repair what the text names, or remove .plexum-codex-session from the workspace to begin a new conversation.",
    ),
    meaning(
        Kind::Config,
        false,
        "The configuration is wrong",
        "Correct what the text names: `config.json` of this plugin, or `config.toml` in codex's home folder.",
    ),
    meaning(
        Kind::UntrustedDirectory,
        false,
        "Codex does not trust the workspace",
        "Run codex once in the workspace and trust it.",
    ),
    meaning(
        Kind::CliIncompatible,
        false,
        "This version of codex does not take the arguments",
        "Install codex 0.135 or newer, and check `extra_args` and `model_args`.",
    ),
    meaning(
        Kind::PromptTooLarge,
        false,
        "The prompt is too long for codex",
        "Shorten it, or put it into a file in the workspace and name the file.",
    ),
    meaning(
        Kind::StartTimeout,
        true,
        "Codex printed nothing within the start-up time",
        "Try again; if it stays, run codex by hand in the workspace.",
    ),
    meaning(
        Kind::IdleTimeout,
        true,
        "Codex printed nothing for too long",
        "Try again; raise the idle limit if the work really takes that long.",
    ),
    meaning(
        Kind::TurnTimeout,
        false,
        "The turn took longer than allowed",
        "Give it less to do at once, or raise the turn limit.",
    ),
    meaning(
        Kind::Killed,
        true,
        "The turn was stopped",
        "The conversation is kept: send the next message to go on.",
    ),
    meaning(
        Kind::Protocol,
        false,
        "Codex ended without saying how the turn ended",
        "Run `codex --version` (0.135 or newer is needed) and codex by hand in the workspace.",
    ),
    meaning(
        Kind::Denied,
        false,
        "The grant does not allow this call of codex",
        "Change what the text names in config.json, if it should be allowed.",
    ),
    meaning(
        Kind::Internal,
        false,
        "The provider has a defect",
        "Report it with the text.",
    ),
];

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
        ],
    ),
    (
        Kind::Config,
        &[
            "error loading config.toml",
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

/// A failure of this kind, with the original text where there is one.
pub fn failure(kind: Kind, said: Option<&str>) -> Failure {
    let said = said.map(str::trim).filter(|said| !said.is_empty());
    let plain = said.map(unwrap_nested);
    let Some(meaning) = MEANINGS.iter().find(|meaning| meaning.kind == kind) else {
        // Unreachable while a test walks every kind; and no reason to lose the text.
        return Failure {
            kind,
            message: plain.unwrap_or_default(),
            retryable: false,
            retry_after: None,
            detail: None,
        };
    };
    let message = match &plain {
        Some(plain) => format!("{} ({}). {}", meaning.what, excerpt(plain), meaning.remedy),
        None => format!("{}. {}", meaning.what, meaning.remedy),
    };
    Failure {
        kind,
        message,
        retryable: meaning.retryable,
        retry_after: plain.as_deref().and_then(retry_after),
        detail: said.map(ToString::to_string),
    }
}

/// A failure that was found before codex ran, with its own sentence.
pub fn unusable((kind, message): (Kind, String)) -> Failure {
    Failure {
        kind,
        message,
        retryable: false,
        retry_after: None,
        detail: None,
    }
}

/// A failure to start codex, with the host's own sentence, which names the remedy.
pub fn refused(refusal: Refusal) -> Failure {
    unusable((
        match refusal.reason {
            RefusalReason::Denied => Kind::Denied,
            RefusalReason::NotInstalled | RefusalReason::NotExecutable => Kind::NotInstalled,
            RefusalReason::Stopped => Kind::Killed,
            RefusalReason::Failed => Kind::Internal,
        },
        refusal.message,
    ))
}

/// What there is to go by when codex ended without completing the turn.
pub struct Evidence<'a> {
    /// The last failure that its events told of.
    pub said: Option<&'a str>,
    /// How the process ended.
    pub exit: &'a Exit,
    /// Whether the model was at work.
    pub turn_began: bool,
    /// How many lines of its output were no events, and the first of them.
    pub malformed: u64,
    pub first_malformed: Option<&'a str>,
}

/// Why codex ended without completing the turn. Without an event that tells of a failure,
/// standard error and the exit status have to speak.
pub fn classify(evidence: &Evidence<'_>) -> Failure {
    let exit = evidence.exit;
    if let Some(cause) = exit.stopped {
        let kind = match cause {
            StopCause::Cancelled | StopCause::Terminated => Kind::Killed,
            StopCause::StartTimeout => Kind::StartTimeout,
            StopCause::IdleTimeout => Kind::IdleTimeout,
            StopCause::TurnTimeout => Kind::TurnTimeout,
        };
        return failure(kind, evidence.said);
    }
    if let Some(said) = evidence.said {
        // An event's words are the service's; unknown ones still mean that it refused.
        return failure(kind_of(said).unwrap_or(Kind::InvalidRequest), Some(said));
    }
    let last = last_words(&exit.stderr);
    let by_signal = matches!(exit.status, ExitStatus::Signal(_));
    if let Some(kind) = kind_of(&last.words)
        && (last.is_error || !by_signal)
    {
        return failure(kind, Some(&last.words));
    }
    let kind = match exit.status {
        ExitStatus::Signal(_) => Kind::Killed,
        // A codex that is interrupted in the middle of a turn says nothing at all.
        ExitStatus::Code(1) if evidence.turn_began && last.words.is_empty() => Kind::Killed,
        ExitStatus::Code(2) => Kind::CliIncompatible,
        ExitStatus::Code(_) => Kind::Protocol,
    };
    let mut ended = format!("codex ended with {}", status_words(&exit.status));
    if let Some(first) = evidence.first_malformed {
        ended += &format!(
            "; {} of its lines were no events, the first: {first}",
            evidence.malformed
        );
    }
    if !last.words.is_empty() {
        ended += &format!("; its last words: {}", last.words);
    }
    failure(kind, Some(&ended))
}

/// "exit code 1" or "signal 9".
pub fn status_words(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit code {code}"),
        ExitStatus::Signal(signal) => format!("signal {signal}"),
    }
}

/// Whether an `error` event only says that codex is trying again.
pub fn is_transient(message: &str) -> bool {
    message.starts_with("Reconnecting")
}

fn kind_of(said: &str) -> Option<Kind> {
    let said = said.replace(['\u{2018}', '\u{2019}'], "'").to_lowercase();
    PHRASES
        .iter()
        .find(|(_, phrases)| phrases.iter().any(|phrase| said.contains(phrase)))
        .map(|(kind, _)| *kind)
}

/// What codex said last on standard error: from its last line that begins with `Error` on, without
/// the backtrace; or, where there is none, all that is not noise.
fn last_words(stderr: &str) -> LastWords {
    let stderr = stderr.split(BACKTRACE).next().unwrap_or(stderr);
    let lines: Vec<&str> = stderr.lines().filter(|line| !is_noise(line)).collect();
    let error = lines
        .iter()
        .rposition(|line| line.starts_with("Error") || line.starts_with("error: "));
    let words = lines
        .get(error.unwrap_or(0)..)
        .unwrap_or_default()
        .join("\n")
        .trim()
        .to_string();
    LastWords {
        words,
        is_error: error.is_some(),
    }
}

struct LastWords {
    words: String,
    /// Whether codex itself calls it an error.
    is_error: bool,
}

/// Where codex begins to print a backtrace, behind an error.
pub const BACKTRACE: &str = "\nStack backtrace:";

/// What codex writes to standard error in turns that go well: hints, and a log whose lines
/// begin with the time and are often called `ERROR`.
fn is_noise(line: &str) -> bool {
    let mut start = line.bytes();
    let has_time = b"0000-00-00T00:".iter().all(|shape| {
        start.next().is_some_and(|byte| {
            if *shape == b'0' {
                byte.is_ascii_digit()
            } else {
                byte == *shape
            }
        })
    });
    has_time
        || line.starts_with("Reading additional input from stdin")
        || line.starts_with("WARNING: proceeding")
}

/// The sentence inside a message that is itself a JSON document, as the service's refusals are.
fn unwrap_nested(said: &str) -> String {
    let Ok(document) = Json::parse(said) else {
        return said.to_string();
    };
    let error = document.get("error").unwrap_or(&document);
    error
        .text("message")
        .or_else(|| document.text("detail"))
        .or_else(|| document.text("message"))
        .or_else(|| error.as_text())
        .unwrap_or(said)
        .to_string()
}

/// As much of a text as belongs in a sentence: its first paragraph, and of a long one both ends,
/// because codex gives the reason last. The whole of it is kept in `detail`.
pub fn excerpt(text: &str) -> String {
    const HALF: usize = 200;
    let paragraph = text
        .split("\n\n")
        .next()
        .unwrap_or(text)
        .trim_end_matches('.');
    let mut ends = paragraph.char_indices().map(|(at, _)| at);
    let count = paragraph.chars().count();
    match (
        ends.nth(HALF),
        paragraph.char_indices().nth(count.saturating_sub(HALF)),
    ) {
        (Some(head), Some((tail, _))) if count > 2 * HALF => {
            format!(
                "{} … {}",
                paragraph.get(..head).unwrap_or_default(),
                paragraph.get(tail..).unwrap_or_default()
            )
        }
        _ => paragraph.to_string(),
    }
}

/// The seconds in "try again in 11.054s", rounded up. A time of day is left in the text:
/// there is no clock in here.
fn retry_after(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once("try again in ")?;
    let digits = rest.split_once('s')?.0.trim();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let seconds: u32 = whole.parse().ok()?;
    let rounds_up = fraction.bytes().any(|digit| digit != b'0');
    seconds.checked_add(u32::from(rounds_up))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(status: ExitStatus, stderr: &str) -> Exit {
        Exit {
            status,
            stopped: None,
            stderr: stderr.into(),
        }
    }

    fn classify(said: Option<&str>, exit: &Exit) -> Failure {
        super::classify(&Evidence {
            said,
            exit,
            turn_began: false,
            malformed: 0,
            first_malformed: None,
        })
    }

    const FAILED: ExitStatus = ExitStatus::Code(1);

    #[test]
    fn what_the_events_said_decides() {
        for (said, kind) in [
            (
                r#"{"detail": "The 'gpt-5-codex' model is not supported when using Codex with a ChatGPT account."}"#,
                Kind::ModelUnsupported,
            ),
            (
                "You’ve hit your usage limit. Upgrade to Pro or try again at 4:35 PM.",
                Kind::UsageLimit,
            ),
            (
                "unexpected status 401 Unauthorized: no, url: http://x",
                Kind::Auth,
            ),
            ("Missing environment variable: `MOCK_KEY`.", Kind::Auth),
            (
                "exceeded retry limit, last status: 429 Too Many Requests",
                Kind::RateLimited,
            ),
            (
                "stream disconnected before completion: rate limit exceeded",
                Kind::RateLimited,
            ),
            (
                "We’re currently experiencing high demand, which may cause temporary errors.",
                Kind::Overloaded,
            ),
            (
                "Selected model is at capacity. Please try a different model.",
                Kind::Overloaded,
            ),
            (
                "Codex ran out of room in the model's context window. Start a new thread.",
                Kind::ContextOverflow,
            ),
            (
                "stream disconnected before completion: Transport error",
                Kind::Network,
            ),
            ("something never seen", Kind::InvalidRequest),
        ] {
            let failure = classify(Some(said), &exit(FAILED, "Error: no rollout found"));
            assert_eq!(failure.kind, kind, "{said}");
            assert_eq!(failure.detail.as_deref(), Some(said));
        }
    }

    #[test]
    fn without_an_event_standard_error_and_the_status_speak() {
        for (stderr, status, kind) in [
            (
                "Error: thread/resume: thread/resume failed: no rollout found for thread id x (code -32600)\n\nStack backtrace:\n 0: <unknown>",
                FAILED,
                Kind::SessionLost,
            ),
            (
                "Error: thread/resume failed: thread x already has an active writer (code -32600)",
                FAILED,
                Kind::SessionBusy,
            ),
            ("Error loading config.toml: line 3", FAILED, Kind::Config),
            (
                "Not inside a trusted directory and --skip-git-repo-check was not specified.",
                FAILED,
                Kind::UntrustedDirectory,
            ),
            (
                "error: unexpected argument '--nope' found\n\nUsage: codex",
                ExitStatus::Code(2),
                Kind::CliIncompatible,
            ),
            ("boom", ExitStatus::Code(2), Kind::CliIncompatible),
            ("boom", FAILED, Kind::Protocol),
            ("", ExitStatus::Code(0), Kind::Protocol),
            ("", ExitStatus::Signal(9), Kind::Killed),
        ] {
            assert_eq!(classify(None, &exit(status, stderr)).kind, kind, "{stderr}");
        }
    }

    #[test]
    fn the_sentence_holds_what_codex_said_and_what_to_do() {
        let failure = classify(
            None,
            &exit(
                FAILED,
                "WARN noise\nError: the disk is on fire\n\nStack backtrace:\n 0: x",
            ),
        );
        assert_eq!(
            failure.message,
            "Codex ended without saying how the turn ended (codex ended with exit code 1; its last words: Error: the disk is on fire). \
             Run `codex --version` (0.135 or newer is needed) and codex by hand in the workspace."
        );
    }

    #[test]
    fn the_noise_of_turns_that_go_well_decides_nothing() {
        let noise = "Reading additional input from stdin...\n2026-11-22T18:00:00.1Z ERROR codex_core: 429 Too Many Requests, timed out\n";
        for (status, kind) in [
            (ExitStatus::Signal(9), Kind::Killed),
            (FAILED, Kind::Protocol),
        ] {
            let failure = classify(None, &exit(status, noise));
            assert_eq!(failure.kind, kind);
            assert!(
                !failure.message.contains("429") && !failure.message.contains("last words"),
                "{}",
                failure.message
            );
        }
        let with_error = alloc::format!("{noise}Error: thread x is archived\n");
        assert_eq!(
            classify(None, &exit(FAILED, &with_error)).kind,
            Kind::SessionArchived
        );
    }

    #[test]
    fn a_silent_end_in_the_middle_of_a_turn_was_an_interrupt() {
        let exit = exit(FAILED, "Reading additional input from stdin...\n");
        let evidence = Evidence {
            said: None,
            exit: &exit,
            turn_began: true,
            malformed: 0,
            first_malformed: None,
        };
        assert_eq!(super::classify(&evidence).kind, Kind::Killed);
        assert_eq!(
            super::classify(&Evidence {
                turn_began: false,
                ..evidence
            })
            .kind,
            Kind::Protocol
        );
    }

    #[test]
    fn a_host_that_stopped_codex_knows_better() {
        for (cause, kind) in [
            (StopCause::Cancelled, Kind::Killed),
            (StopCause::StartTimeout, Kind::StartTimeout),
            (StopCause::IdleTimeout, Kind::IdleTimeout),
            (StopCause::TurnTimeout, Kind::TurnTimeout),
        ] {
            let exit = Exit {
                stopped: Some(cause),
                ..exit(ExitStatus::Signal(2), "Error: no rollout found")
            };
            assert_eq!(classify(Some("Reconnecting... 2/5"), &exit).kind, kind);
        }
    }

    #[test]
    fn nested_documents_are_unwrapped() {
        for document in [
            r#"{"detail":"No."}"#,
            r#"{"error":{"type":"invalid_request_error","message":"No."}}"#,
            r#"{"type":"error","error":{"message":"No."},"status":400}"#,
            r#"{"error":"No."}"#,
            r#"{"message":"No."}"#,
            "No.",
        ] {
            assert_eq!(unwrap_nested(document), "No.", "{document}");
        }
        assert_eq!(unwrap_nested(r#"{"x":1}"#), r#"{"x":1}"#);
    }

    #[test]
    fn waiting_times_are_rounded_up() {
        assert_eq!(
            retry_after("Rate limit reached. Please try again in 11.054s. Visit"),
            Some(12)
        );
        assert_eq!(retry_after("try again in 2s"), Some(2));
        assert_eq!(retry_after("try again in 1.00s"), Some(1));
        assert_eq!(retry_after("try again at 4:35 PM"), None);
        assert_eq!(retry_after("try again in a while, as"), None);
    }

    #[test]
    fn every_kind_that_is_matched_has_a_meaning() {
        for kind in PHRASES.iter().map(|(kind, _)| *kind).chain([
            Kind::Denied,
            Kind::Internal,
            Kind::Killed,
        ]) {
            assert!(
                MEANINGS.iter().any(|meaning| meaning.kind == kind),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn long_texts_are_shortened_in_the_sentence_and_kept_in_the_detail() {
        let said = "ü".repeat(1000);
        let failure = failure(Kind::Network, Some(&said));
        assert!(failure.message.chars().count() < 600);
        assert_eq!(failure.detail, Some(said));
    }
}
