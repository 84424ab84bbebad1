//! The script, the record and the state of `fake-codex`, a stand-in for codex that does exactly
//! what a test tells it, where the real one cannot be made to.
//!
//! The `fake-codex` binary is started like codex (`fake-codex exec [resume ID] … -- PROMPT`) and
//! finds everything in its working directory. There it plays [`SCRIPT_FILE`] if there is one, and
//! otherwise answers `echo: <prompt>`. Each `exec` leaves a [`Call`] in [`CALLS_FILE`]. `fake-codex app-server` answers as
//! its [`ServerScript`] says, and leaves a [`Call`] too, and what it was told in [`MESSAGES_FILE`]. If there is a
//! [`DIALOGUE_FILE`], it says what codex says in there.
//!
//! ```
//! use plexum_openai_provider_tests::fake_codex::{Script, Step, calls};
//!
//! # fn main() -> anyhow::Result<()> {
//! let workspace = tempfile::tempdir()?;
//! Script::new()
//!     .call(Step::turn("first answer"))
//!     .call([Step::ThreadStarted, Step::TurnStarted, Step::Exit { code: 1 }])
//!     .write_to(workspace.path())?;
//! // … start the host under test in that workspace …
//! assert!(calls(workspace.path())?.is_empty());
//! # Ok(())
//! # }
//! ```

mod call;
mod script;
mod server_script;
mod usage;

pub use self::call::{
    CALLS_FILE, CHILDREN_FILE, Call, MESSAGES_FILE, Stdin, calls, children, messages,
};
pub use self::script::{ChildGroup, SCRIPT_FILE, Script, Step};
pub use self::server_script::{SERVER_SCRIPT_FILE, ServerScript};
pub use self::usage::{STATE_FILE, State, Usage};

/// The recorded dialogue that is played in a workspace, in the form of [`Dialogue`](crate::transcript::Dialogue). Each
/// `app-server` takes its part out of it.
pub const DIALOGUE_FILE: &str = ".fake-codex-dialogue.txt";

/// The folder in the workspace that is codex's home in a dialogue.
pub const DIALOGUE_HOME: &str = ".fake-codex-home";

/// The exit code for a command line that codex would not understand either.
pub const EXIT_USAGE: i32 = 64;

/// The exit code for a script that cannot be read or played.
pub const EXIT_SCRIPT: i32 = 70;

/// The exit code of codex when nobody reads its standard output any more.
pub const EXIT_STDOUT_CLOSED: i32 = 101;
