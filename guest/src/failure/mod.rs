//! Why a turn failed: from what codex said on either channel and how it ended, to a
//! kind that a runtime can decide by and a sentence that a person can act on.

mod meaning;
mod phrase;
mod text;

use alloc::format;
use alloc::string::{String, ToString};

use crate::bindings::codex::{Exit, ExitStatus, Refusal, RefusalReason, StopCause};
use crate::bindings::provider::{Failure, FailureKind as Kind};
use crate::transport::exec::stderr::last_words;

use meaning::{Meaning, meaning};
use phrase::kind_of;
pub use text::excerpt;

/// A failure of this kind, with the original text where there is one.
pub fn failure(kind: Kind, said: Option<&str>) -> Failure {
    let said = said.map(str::trim).filter(|said| !said.is_empty());
    let plain = said.map(text::unwrap_nested);
    let Meaning {
        retryable,
        what,
        remedy,
    } = meaning(kind);
    let message = match &plain {
        Some(plain) => format!("{what} ({}). {remedy}", excerpt(plain)),
        None => format!("{what}. {remedy}"),
    };
    Failure {
        kind,
        message,
        retryable,
        retry_after: plain.as_deref().and_then(text::retry_after),
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
    let failure = unusable((
        match refusal.reason {
            RefusalReason::Denied => Kind::Denied,
            RefusalReason::NotInstalled | RefusalReason::NotExecutable => Kind::NotInstalled,
            RefusalReason::Stopped => Kind::Killed,
            RefusalReason::Failed => Kind::Internal,
        },
        refusal.message,
    ));
    Failure {
        // As when codex was stopped a moment later.
        retryable: refusal.reason == RefusalReason::Stopped,
        ..failure
    }
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
    // One that has failed and then does not end has failed all the same.
    let lingers = exit.stopped == Some(StopCause::Lingering) && evidence.said.is_some();
    if let Some(cause) = exit.stopped.filter(|_| !lingers) {
        let kind = match cause {
            StopCause::Cancelled | StopCause::Terminated => Kind::Killed,
            StopCause::StartTimeout => Kind::StartTimeout,
            StopCause::IdleTimeout => Kind::IdleTimeout,
            StopCause::TurnTimeout => Kind::TurnTimeout,
            StopCause::OutputLimit => return failure(Kind::Protocol, Some(OUTPUT_LIMIT)),
            StopCause::Lingering => return failure(Kind::Protocol, Some(LINGERING)),
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

const OUTPUT_LIMIT: &str =
    "it was stopped when it had printed more than `limits.output_mib` in config.json allows";

const LINGERING: &str = "it closed its output and did not end; it was stopped";

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

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(status: ExitStatus, stderr: &str) -> Exit {
        Exit {
            status,
            stopped: None,
            stderr: stderr.into(),
            left_behind: 0,
            output_cut: false,
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
            (StopCause::OutputLimit, Kind::Protocol),
        ] {
            let exit = Exit {
                stopped: Some(cause),
                ..exit(ExitStatus::Signal(2), "Error: no rollout found")
            };
            assert_eq!(classify(Some("Reconnecting... 2/5"), &exit).kind, kind);
        }
        let exit = Exit {
            stopped: Some(StopCause::Lingering),
            ..exit(ExitStatus::Signal(9), "")
        };
        assert_eq!(classify(None, &exit).kind, Kind::Protocol);
        let said = Some("unexpected status 401 Unauthorized");
        assert_eq!(classify(said, &exit).kind, Kind::Auth);
    }

    #[test]
    fn long_texts_are_shortened_in_the_sentence_and_kept_in_the_detail() {
        let said = "ü".repeat(1000);
        let failure = failure(Kind::Network, Some(&said));
        assert!(failure.message.chars().count() < 600);
        assert_eq!(failure.detail, Some(said));
    }
}
