//! A record of what the host decided, and of how each process ended: one JSON line each, for auditors.
//!
//! It never holds a prompt or the value of an environment variable.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::Serialize;

use crate::scarcity;
use crate::telemetry::metrics::Meter;

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry<'a> {
    /// A call of codex was allowed and is about to start a process. Written only where a record is required, before the
    /// process exists.
    Starting {
        /// The rule that decided.
        rule: &'a str,
        /// The program's absolute path.
        program: &'a str,
        /// The arguments, without the prompt.
        argv: &'a str,
        /// The names of the environment variables that it gets.
        environment: &'a [String],
    },
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
    /// A codex that stays is about to be asked something. Where a record is required, it is not asked unless this is
    /// written.
    Asked {
        /// The rule that decided.
        rule: &'a str,
        /// The process.
        pid: i32,
        /// What for, as in "turn/start".
        method: &'a str,
        /// The conversation; absent for a new one.
        #[serde(skip_serializing_if = "Option::is_none")]
        thread_id: Option<&'a str>,
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
    /// Lines before this one could not be written.
    Lost {
        /// How many, of this process.
        lines: u64,
    },
}

/// What each line of a turn begins with, besides the time.
#[derive(Clone, Copy)]
struct Head<'a> {
    component_sha256: &'a str,
    workspace: &'a Path,
}

impl Head<'_> {
    /// Appends a line.
    fn line(self, entry: &Entry<'_>, bytes: &mut Vec<u8>) -> io::Result<()> {
        let line = Line {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            component_sha256: self.component_sha256,
            workspace: &self.workspace.to_string_lossy(),
            entry,
        };
        serde_json::to_writer(&mut *bytes, &line)?;
        bytes.push(b'\n');
        Ok(())
    }
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
///
/// Each line is there whole or not at all, as long as its disk can undo what did not fit. What could not be written is
/// counted ([`Metrics::record_lines_lost`](crate::Metrics::record_lines_lost)), logged as an error, and noted in the
/// record itself with the next line that can be written (`"event": "lost"`).
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    appender: Mutex<Appender>,
}

/// The end of the file.
#[derive(Debug)]
struct Appender {
    file: File,
    /// How many lines have been lost since the last one that was written.
    lost: u64,
}

/// How often another process is waited for that writes to the same file, a millisecond each time. A line takes far
/// less. Whoever holds the lock for longer must not hold up a turn.
const PATIENCE: u32 = 20;

impl Recorder {
    /// Appends to a file that only its owner can read (mode 0600). It must be a plain file of this user with one name:
    /// no link, neither symbolic nor hard.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let appender = Mutex::new(Appender {
            file: open(&path)?,
            lost: 0,
        });
        Ok(Recorder(Arc::new(Shared { path, appender })))
    }

    /// Writes one line; with `durably`, to the disk.
    fn write(&self, head: Head<'_>, entry: &Entry<'_>, durably: bool) -> Result<(), NotRecorded> {
        let mut appender = self.appender();
        let written = appender.write(&self.0.path, head, entry, durably);
        match written {
            Ok(()) => {
                appender.lost = 0;
                Ok(())
            }
            Err(error) => {
                appender.lost += 1;
                let (path, lost) = (self.0.path.display(), appender.lost);
                tracing::error!(%path, %error, lost, "a line of the record could not be written");
                Err(NotRecorded::Failed {
                    path: self.0.path.clone(),
                    error,
                })
            }
        }
    }

    fn appender(&self) -> MutexGuard<'_, Appender> {
        let locked = self.0.appender.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if metadata.nlink() > 1 {
        return Err(io::Error::other(
            "it is a hard link, and another name of the file may be somebody else's: name a file of its own",
        ));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let owner = metadata.uid();
        return Err(io::Error::other(format!(
            "it belongs to user {owner}, who may change it: name a file of your own"
        )));
    }
    // A file that was there before keeps its content, but not its readers.
    file.set_permissions(PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

impl Appender {
    fn write(
        &mut self,
        path: &Path,
        head: Head<'_>,
        entry: &Entry<'_>,
        durably: bool,
    ) -> io::Result<()> {
        if self.file.metadata()?.nlink() == 0 {
            tracing::error!(path = %path.display(), "the record was removed while it was open; a new one is begun");
            self.file = open(path)?;
        }
        let mut bytes = Vec::new();
        if self.lost > 0 {
            head.line(&Entry::Lost { lines: self.lost }, &mut bytes)?;
        }
        head.line(entry, &mut bytes)?;
        let locked = self.lock();
        let written = append(&self.file, bytes, locked);
        if locked {
            // Closing the file would open the lock too, so an error says nothing.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
        written?;
        if durably {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Keeps other writers out, if they let go in time and the file system has locks.
    fn lock(&self) -> bool {
        for _ in 0..PATIENCE {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return true,
                Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return false,
            }
        }
        false
    }
}

/// Appends lines in one write, so that lines of several processes do not mix. If they do not fit, none of them stays,
/// provided that nobody else may have written behind them.
fn append(mut file: &File, mut bytes: Vec<u8>, alone: bool) -> io::Result<()> {
    let before = file.metadata()?.len();
    // A writer that was killed, or could not undo, has left half a line.
    let mut last = [b'\n'];
    if before > 0 {
        file.read_exact_at(&mut last, before - 1)?;
    }
    if last != [b'\n'] {
        bytes.insert(0, b'\n');
    }
    let mut written = 0;
    let result = loop {
        let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) else {
            return Ok(());
        };
        match file.write(rest) {
            Ok(0) => break io::Error::from(io::ErrorKind::WriteZero),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error,
        }
    };
    if written > 0 && alone && file.metadata()?.len() == before + written as u64 {
        file.set_len(before)?;
    }
    Err(result)
}

/// A line could not be written where a record is required.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// Nobody has said where it goes.
    #[error(
        "config.json requires a record (`record`), and none is kept: name its file with `--record FILE`, or in Rust with `with_recorder`"
    )]
    NoRecorder,
    /// The thread that should have written it is gone.
    #[error("the record could not be written: {0}")]
    Panicked(String),
    /// It could not be written.
    #[error(
        "the record {} cannot be written ({error}), and config.json requires one (`record`): codex is not started without it", path.display()
    )]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

impl NotRecorded {
    /// The limit of the machine that is the cause, if one is.
    pub(crate) fn limit(&self) -> Option<&'static str> {
        match self {
            NotRecorded::NoRecorder | NotRecorded::Panicked(_) => None,
            NotRecorded::Failed { error, .. } => scarcity::limit(error),
        }
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

    /// Writes one line, if a record is kept. A line that is lost is counted.
    pub(crate) fn write(&self, entry: &Entry<'_>, meter: &Meter) {
        if let Some(recorder) = &self.recorder
            && recorder.write(self.head(), entry, false).is_err()
        {
            meter.record_line_lost();
        }
    }

    /// Writes one line to the disk, before what it says is done. May wait for the disk.
    ///
    /// # Errors
    /// If it is not there.
    pub(crate) fn require(&self, entry: &Entry<'_>, meter: &Meter) -> Result<(), NotRecorded> {
        let recorder = self.recorder.as_ref().ok_or(NotRecorded::NoRecorder)?;
        let written = recorder.write(self.head(), entry, true);
        if written.is_err() {
            meter.record_line_lost();
        }
        written
    }

    fn head(&self) -> Head<'_> {
        Head {
            component_sha256: &self.component_sha256,
            workspace: &self.workspace,
        }
    }
}

/// Whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::telemetry::metrics::Counters;

    struct Kept {
        folder: tempfile::TempDir,
        record: TurnRecord,
        counters: Counters,
        meter: Meter,
    }

    impl Kept {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let counters = Counters::default();
            let workspace = Path::new("/w");
            Kept {
                record: record(&folder.path().join("record")),
                meter: counters.turn(workspace, None),
                counters,
                folder,
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("record")
        }

        fn write(&self, reason: &str) {
            let (rule, argv) = ("rule", "argv");
            let entry = Entry::Refused { rule, reason, argv };
            self.record.write(&entry, &self.meter);
        }

        /// The lines that are JSON, by their reason or event.
        fn lines(&self) -> Vec<String> {
            let text = std::fs::read_to_string(self.path()).unwrap();
            let lines = text.lines().filter_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                let name = line.get("reason").or(line.get("lines"));
                Some(name?.to_string().trim_matches('"').to_owned())
            });
            lines.collect()
        }
    }

    fn record(path: &Path) -> TurnRecord {
        let recorder = Recorder::append_to(path).unwrap();
        TurnRecord::new(Some(recorder), "digest".into(), Path::new("/w"))
    }

    #[test]
    fn half_a_line_of_a_killed_writer_does_not_spoil_the_next() {
        let kept = Kept::new();
        kept.write("one");
        let half = "{\"time\": \"20";
        let mut file = OpenOptions::new().append(true).open(kept.path()).unwrap();
        file.write_all(half.as_bytes()).unwrap();
        kept.write("two");
        kept.write("three");
        assert_eq!(kept.lines(), ["one", "two", "three"]);
    }

    #[test]
    fn what_is_no_file_of_its_own_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (other, record) = (folder.path().join("other"), folder.path().join("record"));
        std::fs::write(&other, "somebody's").unwrap();
        std::fs::set_permissions(&other, PermissionsExt::from_mode(0o644)).unwrap();
        type Make = fn(&Path, &Path) -> io::Result<()>;
        let makes: [(Make, &str); 2] = [
            (
                |other, record| std::fs::hard_link(other, record),
                "hard link",
            ),
            (
                |other, record| std::os::unix::fs::symlink(other, record),
                "symbolic link",
            ),
        ];
        for (make, expected) in makes {
            make(&other, &record).unwrap();
            let error = Recorder::append_to(&record).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            let mode = other.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o644);
            assert_eq!(std::fs::read_to_string(&other).unwrap(), "somebody's");
            std::fs::remove_file(&record).unwrap();
        }
        Recorder::append_to(&record).unwrap();
    }

    #[test]
    fn a_record_that_was_removed_is_begun_again() {
        let kept = Kept::new();
        kept.write("one");
        std::fs::remove_file(kept.path()).unwrap();
        kept.write("two");
        assert_eq!(kept.lines(), ["two"]);
    }

    #[test]
    fn lost_lines_are_counted_and_noted_where_they_are_missing() {
        let kept = Kept::new();
        kept.write("one");
        // Nothing can be written in its place.
        std::fs::remove_file(kept.path()).unwrap();
        std::fs::create_dir(kept.path()).unwrap();
        kept.write("two");
        kept.write("three");
        assert_eq!(kept.counters.read().record_lines_lost, 2);
        std::fs::remove_dir(kept.path()).unwrap();
        kept.write("four");
        assert_eq!(kept.lines(), ["2", "four"]);
        kept.write("five");
        assert_eq!(kept.lines(), ["2", "four", "five"]);
        assert_eq!(kept.counters.read().record_lines_lost, 2);
    }

    #[test]
    fn another_process_that_keeps_the_lock_holds_nothing_up() {
        let kept = Kept::new();
        let squatter = File::open(kept.path()).unwrap();
        flock(&squatter, FlockOperation::LockExclusive).unwrap();
        kept.write("one");
        assert_eq!(kept.lines(), ["one"]);
    }

    #[test]
    fn lines_of_several_writers_are_all_there_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let threads: Vec<_> = (0..4)
            .map(|writer| {
                let record = record(&path);
                let meter = Counters::default().turn(Path::new("/w"), None);
                std::thread::spawn(move || {
                    for _ in 0..50 {
                        let reason = &"x".repeat(1000 * writer);
                        let entry = Entry::Refused {
                            rule: "",
                            reason,
                            argv: "",
                        };
                        record.write(&entry, &meter);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        let whole = |line: &str| serde_json::from_str::<Value>(line).is_ok();
        assert!(text.lines().count() == 200 && text.lines().all(whole));
    }
}
