//! The cases in which the turn fails, or never begins.

use super::case::{Before, Case, Flags, Home};

/// One character more than codex takes.
const TOO_LARGE: usize = (1 << 20) + 1;

/// Long enough for the recorder to send a signal, short enough to leave nothing behind.
const COMMAND: &str = "mock:shell=sleep 5";

pub(super) const CASES: &[Case] = &[
    // What the service refuses.
    Case::new(
        "model-unsupported-error",
        "mock:e400model",
        "A model that the account may not use, refused with an error object.",
    ),
    Case::new(
        "model-unsupported-detail",
        "mock:e400detail",
        "A model that the account may not use, refused with a detail.",
    ),
    Case::new(
        "invalid-request",
        "mock:e400plain",
        "A status of 400 with a body that is not JSON.",
    ),
    Case::new("auth-401", "mock:e401", "A key that is refused with 401."),
    Case::new(
        "forbidden-403",
        "mock:e403",
        "A key that is refused with 403.",
    ),
    Case::new(
        "not-found-404",
        "mock:e404",
        "A model that the service does not know; 0.169 gives up at once, older ones retry.",
    ),
    Case::new(
        "rate-limit",
        "mock:e429",
        "A status of 429 and no word on when to come back.",
    ),
    Case::new(
        "rate-limit-retry-after",
        "mock:e429ra",
        "A status of 429 with a Retry-After of two seconds; 0.169 waits, older ones give up.",
    ),
    Case::new(
        "rate-limit-in-stream",
        "mock:ratelimit",
        "rate_limit_exceeded inside the stream, with a time to wait.",
    ),
    Case::new(
        "usage-limit",
        "mock:e429quota",
        "The usage limit of a plan, with the time of its reset.",
    ),
    Case::new(
        "quota",
        "mock:quota",
        "insufficient_quota inside the stream.",
    ),
    Case::new(
        "overloaded",
        "mock:overloaded",
        "server_is_overloaded inside the stream.",
    ),
    Case::new(
        "high-demand",
        "mock:e500",
        "A status of 500, again and again: codex speaks of high demand.",
    ),
    Case::new(
        "unavailable",
        "mock:e503",
        "A status of 503, again and again.",
    ),
    Case::new(
        "context-overflow",
        "mock:ctx",
        "context_length_exceeded inside the stream.",
    ),
    Case::new("policy", "mock:policy", "invalid_prompt inside the stream."),
    // A connection that breaks.
    Case::new(
        "stream-dropped",
        "mock:drop",
        "A connection that breaks in the middle of a message each time.",
    ),
    Case::new(
        "no-completed",
        "mock:nocompleted",
        "A stream that ends after a whole message each time: the message comes six times.",
    ),
    Case::new(
        "incomplete",
        "mock:incomplete",
        "A response that ends as incomplete; 0.169 gives up at once, older ones retry.",
    ),
    Case::new(
        "network-down",
        "hello",
        "Nothing listens at the service's address; 0.169 would try forever.",
    )
    .home(Home::WithoutNetwork)
    .args(&["-c", "features.unbounded_connection_retries=false"]),
    // A thread that cannot be resumed.
    Case::new(
        "session-lost",
        "hello",
        "A thread that codex has no rollout of.",
    )
    .after(Before::Unknown),
    Case::new("session-archived", "hello", "A thread that was archived.")
        .after(Before::Archived)
        .not_on(&[("0.135.0", "it resumes an archived thread like any other")]),
    Case::new("session-emptied", "hello", "A rollout that is empty.").after(Before::Emptied),
    Case::new(
        "session-garbled",
        "hello",
        "A rollout of bytes that are not UTF-8.",
    )
    .after(Before::Garbled),
    Case::new(
        "session-busy",
        "hello",
        "A thread that another codex is using.",
    )
    .after(Before::Busy)
    .not_on(&[(
        "0.135.0",
        "it lets both go on, and the thread's history interleaves",
    )]),
    // What codex refuses before it asks the service.
    Case::new(
        "untrusted-directory",
        "hello",
        "A folder that codex does not trust, without the flags that tell it not to mind.",
    )
    .flags(Flags::JsonOnly),
    Case::new("config-error", "hello", "A config.toml that is no TOML.")
        .home(Home::With("[this is no table")),
    Case::new("home-missing", "hello", "A CODEX_HOME that does not exist.").home(Home::Missing),
    Case::new("bad-flag", "hello", "A flag that codex does not know.").args(&["--no-such-flag"]),
    Case::new(
        "prompt-too-large",
        "",
        "A prompt of one character more than codex takes: a thread id, and then nothing.",
    )
    .on_stdin(TOO_LARGE),
    Case::new(
        "missing-env-key",
        "hello",
        "A provider whose key should be in an environment variable that is not set.",
    )
    .args(&["-c", r#"model_providers.mock.env_key="MOCK_KEY""#]),
    // A process that is ended.
    Case::new("killed", COMMAND, "SIGKILL while a command runs.").signal(libc::SIGKILL),
    Case::new(
        "interrupted",
        COMMAND,
        "SIGINT while a command runs: codex exits with 1 and says nothing more.",
    )
    .signal(libc::SIGINT),
];
