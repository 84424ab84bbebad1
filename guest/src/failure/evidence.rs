//! Why a turn failed, from all the evidence.

use alloc::format;
use alloc::string::String;

use super::phrase::kind_of;
use super::sentence::failure;
use crate::bindings::codex::{Exit, ExitStatus, StopCause};
use crate::bindings::turns::{Failure, FailureKind as Kind};

/// The evidence when codex ended without completing the turn.
pub struct Evidence<'a> {
    /// The last failure that it reported.
    pub said: Option<&'a str>,
    /// What codex itself calls that failure, where it does.
    pub kind: Option<Kind>,
    /// How the process ended.
    pub exit: &'a Exit,
    /// The last words that the process wrote for a person.
    pub last_words: LastWords,
    /// Whether the model was at work.
    pub turn_began: bool,
    /// How many lines of its output were not events, and the first of them.
    pub malformed: u64,
    pub first_malformed: Option<&'a str>,
}

/// The last words that codex wrote for a person when it ended, without what it writes in turns that succeed.
#[derive(Debug, Clone, Default)]
pub struct LastWords {
    /// The text; may be empty.
    pub words: String,
    /// Whether codex itself calls it an error.
    pub is_error: bool,
}

/// Why codex ended without completing the turn. If it reported no failure, its last words and the exit status decide.
pub fn classify(evidence: &Evidence<'_>) -> Failure {
    let exit = evidence.exit;
    // A codex that reports a failure and then does not exit has failed all the same.
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
    if let Some(said) = evidence.said.filter(|said| !said.trim().is_empty()) {
        // An event's words are the service's; unknown ones still mean that it refused.
        let kind = evidence.kind.or_else(|| kind_of(said));
        return failure(kind.unwrap_or(Kind::InvalidRequest), Some(said));
    }
    if let Some(kind) = evidence.kind {
        return failure(kind, None);
    }
    if evidence.said.is_some() {
        return failure(Kind::Protocol, Some(NO_REASON));
    }
    let last = &evidence.last_words;
    let by_signal = matches!(exit.status, ExitStatus::Signal(_));
    if let Some(kind) = kind_of(&last.words)
        && (last.is_error || !by_signal)
    {
        return failure(kind, Some(&last.words));
    }
    let kind = match exit.status {
        // Nobody sends these: the program itself did what it must not.
        ExitStatus::Signal(signal) if crash(signal).is_some() => Kind::Protocol,
        ExitStatus::Signal(signal) if limit(signal).is_some() => Kind::Resources,
        ExitStatus::Signal(_) => Kind::Killed,
        // A codex that is interrupted in the middle of a turn says nothing at all.
        ExitStatus::Code(1) if evidence.turn_began && last.words.is_empty() => Kind::Killed,
        ExitStatus::Code(2) => Kind::CliIncompatible,
        ExitStatus::Code(_) => Kind::Protocol,
    };
    let mut ended = format!("codex ended with {}", status_words(&exit.status));
    if let Some(first) = evidence.first_malformed {
        ended += &format!(
            "; {} of its lines were not events, the first: {first}",
            evidence.malformed
        );
    }
    if !last.words.is_empty() {
        ended += &format!("; its last words: {}", last.words);
    }
    failure(kind, Some(&ended))
}

/// Why a codex that stays does not open a conversation or begin a turn, from its answer.
pub fn codex_refused(said: &str) -> Failure {
    failure(kind_of(said).unwrap_or(Kind::InvalidRequest), Some(said))
}

/// Why codex ended without any report.
pub fn without_report(exit: &Exit, last_words: LastWords) -> Failure {
    classify(&Evidence {
        said: None,
        kind: None,
        exit,
        last_words,
        turn_began: false,
        malformed: 0,
        first_malformed: None,
    })
}

const NO_REASON: &str = "it reported that the turn failed, and not why";

const OUTPUT_LIMIT: &str =
    "it was stopped when it had printed more than `limits.output_mib` in config.json allows";

const LINGERING: &str = "it closed its output and did not end; it was stopped";

/// "exit code 1" or "signal 9".
pub fn status_words(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit code {code}"),
        ExitStatus::Signal(signal) => match (crash(*signal), limit(*signal)) {
            (Some(name), _) => format!("signal {signal} ({name}): it crashed"),
            (None, Some(limit)) => format!("signal {signal}: it reached the limit on {limit}"),
            (None, None) => format!("signal {signal}"),
        },
    }
}

/// The name of a signal by which the kernel ends a program that crashes. The numbers are those of Linux on all common
/// processors.
fn crash(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// The limit that the kernel enforces with a signal.
fn limit(signal: i32) -> Option<&'static str> {
    Some(match signal {
        24 => "processor time (SIGXCPU, `ulimit -t`)",
        25 => "the size of files (SIGXFSZ, `ulimit -f`)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(status: ExitStatus) -> Exit {
        Exit {
            status,
            stopped: None,
            stderr: String::new(),
            left_behind: 0,
            output_cut: false,
        }
    }

    /// `words` are an error if they begin as codex's do.
    fn evidence<'a>(said: Option<&'a str>, exit: &'a Exit, words: &str) -> Evidence<'a> {
        Evidence {
            said,
            kind: None,
            exit,
            last_words: LastWords {
                words: words.into(),
                is_error: words.starts_with("Error") || words.starts_with("error: "),
            },
            turn_began: false,
            malformed: 0,
            first_malformed: None,
        }
    }

    fn classify(said: Option<&str>, exit: &Exit, words: &str) -> Failure {
        super::classify(&evidence(said, exit, words))
    }

    const FAILED: ExitStatus = ExitStatus::Code(1);

    #[test]
    fn what_codex_reported_decides() {
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
            let failure = classify(Some(said), &exit(FAILED), "Error: no rollout found");
            assert_eq!(failure.kind, kind, "{said}");
            assert_eq!(failure.detail.as_deref(), Some(said));
        }
    }

    #[test]
    fn what_codex_calls_a_failure_counts_more_than_its_words() {
        let exit = exit(FAILED);
        for (said, called, kind) in [
            (
                "unexpected status 401",
                Some(Kind::Overloaded),
                Kind::Overloaded,
            ),
            ("", Some(Kind::UsageLimit), Kind::UsageLimit),
            (" \n", None, Kind::Protocol),
        ] {
            let evidence = Evidence {
                kind: called,
                ..evidence(Some(said), &exit, "Error: no rollout found")
            };
            assert_eq!(super::classify(&evidence).kind, kind, "{said:?}");
        }
    }

    #[test]
    fn without_a_report_the_last_words_and_the_status_decide() {
        for (words, status, kind) in [
            (
                "Error: thread/resume: thread/resume failed: no rollout found for thread id x (code -32600)",
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
            ("", ExitStatus::Signal(4), Kind::Protocol),
            ("", ExitStatus::Signal(11), Kind::Protocol),
            ("", ExitStatus::Signal(24), Kind::Resources),
            ("", ExitStatus::Signal(25), Kind::Resources),
            (
                "Error: failed to initialize in-process app-server client: No space left on device (os error 28)",
                FAILED,
                Kind::Resources,
            ),
            (
                "failed to initialize sqlite state runtime: (code: 13) database or disk is full",
                FAILED,
                Kind::Resources,
            ),
            (
                "Error: failed to initialize in-process app-server client: Permission denied (os error 13)",
                FAILED,
                Kind::Config,
            ),
            (
                "Error: Missing optional dependency @openai/codex-linux-x64. Reinstall Codex",
                FAILED,
                Kind::NotInstalled,
            ),
        ] {
            assert_eq!(classify(None, &exit(status), words).kind, kind, "{words}");
        }
    }

    #[test]
    fn the_sentence_holds_what_codex_said_and_what_to_do() {
        let failure = classify(None, &exit(FAILED), "Error: the disk is on fire");
        assert_eq!(
            failure.message,
            "Codex ended without saying how the turn ended (codex ended with exit code 1; its last words: Error: the disk is on fire). \
             Run `codex --version` (0.135 or newer is needed) and codex by hand in the workspace."
        );
    }

    #[test]
    fn words_that_are_not_an_error_do_not_explain_a_signal() {
        let by_signal = exit(ExitStatus::Signal(9));
        for (words, kind) in [
            ("thread x is archived", Kind::Killed),
            ("Error: thread x is archived", Kind::SessionArchived),
        ] {
            assert_eq!(classify(None, &by_signal, words).kind, kind);
        }
    }

    #[test]
    fn a_silent_end_in_the_middle_of_a_turn_was_an_interrupt() {
        let exit = exit(FAILED);
        for (turn_began, kind) in [(true, Kind::Killed), (false, Kind::Protocol)] {
            let evidence = Evidence {
                turn_began,
                ..evidence(None, &exit, "")
            };
            assert_eq!(super::classify(&evidence).kind, kind);
        }
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
                ..exit(ExitStatus::Signal(2))
            };
            assert_eq!(
                classify(
                    Some("Reconnecting... 2/5"),
                    &exit,
                    "Error: no rollout found"
                )
                .kind,
                kind
            );
        }
        let exit = Exit {
            stopped: Some(StopCause::Lingering),
            ..exit(ExitStatus::Signal(9))
        };
        assert_eq!(classify(None, &exit, "").kind, Kind::Protocol);
        let said = Some("unexpected status 401 Unauthorized");
        assert_eq!(classify(said, &exit, "").kind, Kind::Auth);
    }
}
