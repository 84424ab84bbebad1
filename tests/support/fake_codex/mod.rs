//! The script, the record and the state of `fake-codex`, a stand-in for codex that does exactly
//! what a test tells it, where the real one cannot be made to.
//!
//! The `fake-codex` binary is started like codex (`fake-codex exec [resume ID] … -- PROMPT`) and
//! finds everything in its working directory. There it plays [`SCRIPT_FILE`] if there is one, and
//! otherwise answers `echo: <prompt>`. Each `exec` leaves a [`Call`] in [`CALLS_FILE`].
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
mod usage;

pub use self::call::{CALLS_FILE, CHILDREN_FILE, Call, Stdin, calls, children};
pub use self::script::{ChildGroup, SCRIPT_FILE, Script, Step};
pub use self::usage::{STATE_FILE, State, Usage};

/// The exit code for a command line that codex would not understand either.
pub const EXIT_USAGE: i32 = 64;

/// The exit code for a script that cannot be read or played.
pub const EXIT_SCRIPT: i32 = 70;

/// The exit code of codex when nobody reads its standard output any more.
pub const EXIT_STDOUT_CLOSED: i32 = 101;
