//! A record of what the host decided, and of how each process ended: one JSON line each, for auditors.
//!
//! It never holds a prompt or the value of an environment variable.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use serde::Serialize;

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry<'a> {
    /// A call of codex was allowed, and a process started.
    Allowed {
        /// The rule that decided.
        rule: &'a str,
        /// The program's absolute path.
        program: &'a str,
        /// The arguments, without the prompt.
        argv: &'a str,
        /// The names of the environment variables that it got.
        environment: &'a [String],
        /// The process.
        pid: i32,
    },
    /// A call of codex was refused before a process existed.
    Refused {
        /// The rule that decided.
        rule: &'a str,
        /// Why, with the position of the argument.
        reason: &'a str,
        /// The arguments, without the prompt.
        argv: &'a str,
    },
    /// A process ended.
    Ended {
        /// The process.
        pid: i32,
        /// As in "exit status: 0" or "signal: 9".
        status: &'a str,
        /// Why the host stopped it, if it did.
        stopped: Option<&'a str>,
        /// How many processes it left behind, which were ended.
        left_behind: u32,
        /// How many bytes of standard output went to the component.
        stdout_bytes: u64,
        /// From its start to its end, in milliseconds.
        milliseconds: u64,
    },
}

/// A line of the record.
#[derive(Serialize)]
struct Line<'a> {
    /// RFC 3339, UTC.
    time: String,
    component_sha256: &'a str,
    workspace: &'a str,
    #[serde(flatten)]
    entry: &'a Entry<'a>,
}

/// Where the record goes; every clone writes to the same file.
#[derive(Debug, Clone)]
pub struct Recorder {
    file: Arc<Mutex<File>>,
}

impl Recorder {
    /// Appends to a file that only its owner can read (mode 0600). It must be a plain file, not a
    /// link.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a plain file"));
        }
        // A file that was there before keeps its content, but not its readers.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Recorder {
            file: Arc::new(Mutex::new(file)),
        })
    }

    /// Writes one line.
    fn write(&self, component_sha256: &str, workspace: &Path, entry: &Entry<'_>) -> io::Result<()> {
        let line = Line {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            component_sha256,
            workspace: &workspace.to_string_lossy(),
            entry,
        };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        // One write, so that lines of several processes do not mix.
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&bytes)
    }
}

/// The record of one turn, if one is kept.
#[derive(Debug, Clone)]
pub struct TurnRecord {
    recorder: Option<Recorder>,
    component_sha256: Arc<str>,
    workspace: Arc<Path>,
}

impl TurnRecord {
    /// The record of a turn of this component in this workspace.
    pub(crate) fn new(
        recorder: Option<Recorder>,
        component_sha256: Arc<str>,
        workspace: &Path,
    ) -> Self {
        TurnRecord {
            recorder,
            component_sha256,
            workspace: workspace.into(),
        }
    }

    /// Writes one line.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        if let Some(recorder) = &self.recorder
            && let Err(error) = recorder.write(&self.component_sha256, &self.workspace, entry)
        {
            tracing::error!(%error, "a line of the record could not be written");
        }
    }
}

/// Whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
