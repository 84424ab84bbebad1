//! What `fake-codex` is to do, call by call.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::usage::Usage;

/// The script's name in the workspace.
pub const SCRIPT_FILE: &str = ".fake-codex.json";

/// The steps of each call: the n-th `exec` in a workspace plays the n-th list, and later ones
/// repeat the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// One list of steps a call.
    pub calls: Vec<Vec<Step>>,
}

/// One thing to do. A call whose steps are all done exits with 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Writes a line as it is, with a line feed, and flushes.
    Emit {
        /// The line, without its line feed.
        line: String,
    },
    /// Writes a line as it is, with a line feed, again and again.
    Repeat {
        /// The line, without its line feed.
        line: String,
        /// How often.
        times: u64,
    },
    /// Writes bytes as they are and flushes. See [`Step::emit_raw`].
    EmitRaw {
        /// The bytes in hexadecimal.
        hex: String,
    },
    /// Writes a file as it is, such as a transcript of the real codex.
    EmitFile {
        /// The file, relative to the workspace or absolute.
        path: PathBuf,
        /// Whether the thread id of its `thread.started` is replaced by this call's, everywhere.
        own_thread: bool,
    },
    /// `thread.started` with the id to resume, or with a fresh one.
    ThreadStarted,
    /// `thread.started` with another id, which the rest of the call then has too.
    ThreadStartedAs {
        /// The id, a UUID or not.
        id: String,
    },
    /// `turn.started`.
    TurnStarted,
    /// A finished `agent_message`.
    Message {
        /// Its text.
        text: String,
    },
    /// A finished `agent_message`: `echo: <prompt>`.
    Echo,
    /// `turn.completed`, with a usage that grows by [`Usage::TURN`] for each such step of a thread.
    TurnCompleted,
    /// `turn.completed` with exactly this usage, which also becomes the thread's running total.
    TurnCompletedWith {
        /// The thread's running total.
        usage: Usage,
    },
    /// `turn.failed`. The real codex sends an `error` of the same text before it, and exits with 1.
    TurnFailed {
        /// What went wrong.
        message: String,
    },
    /// A top-level `error`, which is not terminal.
    Error {
        /// What went wrong.
        message: String,
    },
    /// Writes to standard error as it is.
    Stderr {
        /// The text, with its line feeds.
        text: String,
    },
    /// Finished agent messages in lines of one length, until at least `bytes` bytes are written.
    Flood {
        /// How much to write.
        bytes: u64,
        /// The length of a line with its line feed; at least 128.
        line_len: u64,
    },
    /// Time that passes.
    Pause {
        /// Milliseconds.
        millis: u64,
    },
    /// Waits until something of that name exists. It looks every 5 ms: a FIFO would block whichever
    /// side comes first, and a test that fails early would leave this process behind forever.
    WaitForFile {
        /// The file, relative to the workspace.
        path: PathBuf,
    },
    /// Creates an empty file, as a sign to the test.
    Touch {
        /// The file, relative to the workspace.
        path: PathBuf,
    },
    /// Ends with an exit code.
    Exit {
        /// The code.
        code: i32,
    },
    /// Sends itself a signal.
    KillSelf {
        /// Its number.
        signal: i32,
    },
    /// Ignores signals from here on; children that are started later do so too.
    IgnoreSignals {
        /// Their numbers.
        signals: Vec<i32>,
    },
    /// From here on exits with `code` when `signal` arrives, as codex does with 1 on SIGINT. Without
    /// this step every signal does what it does by default.
    ExitOnSignal {
        /// Its number.
        signal: i32,
        /// The exit code.
        code: i32,
    },
    /// Starts a `sleep` and does not wait for it. Its process id is added to
    /// [`CHILDREN_FILE`](super::CHILDREN_FILE).
    LeaveChild {
        /// How long it lives, unless it is killed.
        millis: u64,
        /// Whether it inherits standard output, and so holds a pipe to the host open. Standard
        /// error it never inherits.
        hold_stdout: bool,
        /// The process group it is in.
        group: ChildGroup,
    },
    /// Closes standard output. What is emitted afterwards goes nowhere.
    CloseStdout,
    /// Waits forever, or until a signal ends it.
    Forever,
}

/// The process group of a child that is left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildGroup {
    /// That of `fake-codex`.
    Inherited,
    /// One of its own, like every tool that the real codex starts.
    Own,
    /// A session of its own, like a daemon.
    Session,
}

impl Step {
    /// [`Step::Emit`] of a line.
    pub fn emit(line: impl Into<String>) -> Self {
        Self::Emit { line: line.into() }
    }

    /// [`Step::EmitRaw`] of bytes that need not be UTF-8.
    #[must_use]
    pub fn emit_raw(bytes: &[u8]) -> Self {
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::EmitRaw { hex }
    }

    /// [`Step::Message`] of a text.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message { text: text.into() }
    }

    /// [`Step::WaitForFile`] of a name in the workspace.
    pub fn wait_for_file(path: impl Into<PathBuf>) -> Self {
        Self::WaitForFile { path: path.into() }
    }

    /// [`Step::Touch`] of a name in the workspace.
    pub fn touch(path: impl Into<PathBuf>) -> Self {
        Self::Touch { path: path.into() }
    }

    /// For an answer to `turn/start`: that it has been taken.
    #[must_use]
    pub fn turn_accepted() -> Self {
        Self::emit(r#"{"id":$ID,"result":{"turn":{"id":$TURN}}}"#)
    }

    /// For an answer to `turn/start`: that the turn has begun.
    #[must_use]
    pub fn turn_started() -> Self {
        Self::emit(r#"{"method":"turn/started","params":{"threadId":$THREAD,"turn":{"id":$TURN}}}"#)
    }

    /// For an answer to `turn/start` or `turn/interrupt`: that the turn is over, with this status.
    #[must_use]
    pub fn turn_completed(status: &str) -> Self {
        Self::emit(format!(
            r#"{{"method":"turn/completed","params":{{"threadId":$THREAD,"turn":{{"id":$TURN,"status":"{status}"}}}}}}"#
        ))
    }

    /// A tool in a session of its own, which runs for an hour unless something ends it.
    #[must_use]
    pub fn tool_in_its_own_session() -> Self {
        Self::LeaveChild {
            millis: 3_600_000,
            hold_stdout: false,
            group: ChildGroup::Session,
        }
    }

    /// A whole turn that answers with `text`.
    pub fn turn(text: impl Into<String>) -> [Self; 4] {
        let answer = Self::message(text);
        [
            Self::ThreadStarted,
            Self::TurnStarted,
            answer,
            Self::TurnCompleted,
        ]
    }

    /// A whole turn that fails as the real codex's do.
    pub fn failed_turn(message: impl Into<String>) -> [Self; 5] {
        let message = message.into();
        [
            Self::ThreadStarted,
            Self::TurnStarted,
            Self::Error {
                message: message.clone(),
            },
            Self::TurnFailed { message },
            Self::Exit { code: 1 },
        ]
    }
}

impl Script {
    /// A script without calls; it needs one before it can be played.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the steps of the next call.
    #[must_use]
    pub fn call(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.calls.push(steps.into_iter().collect());
        self
    }

    /// Puts the script into a workspace.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_to(&self, workspace: &Path) -> anyhow::Result<()> {
        let path = workspace.join(SCRIPT_FILE);
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The script of a workspace, None when there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read, or that holds a step of no known kind.
    pub fn read_from(workspace: &Path) -> anyhow::Result<Option<Self>> {
        let path = workspace.join(SCRIPT_FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} is no script", path.display()))
    }

    /// The steps of the call with this number, counted from 0; None when there are no calls.
    #[must_use]
    pub fn steps(&self, number: usize) -> Option<&[Step]> {
        self.calls
            .get(number)
            .or_else(|| self.calls.last())
            .map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_survives_its_file_and_repeats_its_last_call() {
        let workspace = tempfile::tempdir().unwrap();
        assert_eq!(Script::read_from(workspace.path()).unwrap(), None);
        let script = Script::new()
            .call(Step::turn("one"))
            .call([Step::emit_raw(b"\xff\n"), Step::Forever]);
        script.write_to(workspace.path()).unwrap();
        let read = Script::read_from(workspace.path()).unwrap().unwrap();
        assert_eq!(read, script);
        assert_eq!(read.steps(0).unwrap().len(), 4);
        assert_eq!(read.steps(7).unwrap(), &script.calls[1]);
    }

    #[test]
    fn an_unknown_step_is_an_error() {
        let workspace = tempfile::tempdir().unwrap();
        let path = workspace.path().join(SCRIPT_FILE);
        fs::write(path, r#"{"calls": [["dance"]]}"#).unwrap();
        let error = Script::read_from(workspace.path()).unwrap_err();
        assert!(format!("{error:#}").contains("dance"), "{error:#}");
    }
}
