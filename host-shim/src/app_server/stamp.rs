//! What a codex that stays was started with: when any of it changes, it no longer does what a new one would do.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::codex::home::codex_home;

/// What identifies a file, and changes if the file changes; `None` if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileStamp(Option<[i64; 5]>);

impl FileStamp {
    fn of(path: &Path) -> Self {
        let known = std::fs::metadata(path).ok();
        FileStamp(known.map(|metadata| {
            [
                metadata.dev().cast_signed(),
                metadata.ino().cast_signed(),
                metadata.size().cast_signed(),
                metadata.mtime(),
                metadata.mtime_nsec(),
            ]
        }))
    }
}

/// What a codex reads when it starts or when it opens a conversation, and then keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartStamp {
    program: FileStamp,
    home: Option<PathBuf>,
    /// Codex's login and settings, and the instructions for the model.
    files: Vec<FileStamp>,
    /// A digest: no value of the environment is kept.
    environment: u64,
}

impl StartStamp {
    /// As it is now. `home` is codex's own folder, if it has named it: a script that starts codex may choose another one
    /// than the environment says. Looks at files, so it may take its time.
    pub fn now(
        program: &Path,
        workspace: &Path,
        environment: &[(OsString, OsString)],
        home: Option<PathBuf>,
    ) -> Self {
        let home = home.or_else(|| codex_home(environment, workspace));
        let of_home = [
            "auth.json",
            "config.toml",
            "AGENTS.md",
            "AGENTS.override.md",
        ];
        let of_home = of_home
            .iter()
            .filter_map(|name| Some(home.as_ref()?.join(name)));
        let of_workspace = ["AGENTS.md", "AGENTS.override.md"].map(|name| workspace.join(name));
        let of_machine = ["config.toml", "managed_config.toml", "requirements.toml"];
        let of_machine = of_machine.map(|name| Path::new("/etc/codex").join(name));
        let mut hasher = DefaultHasher::new();
        environment.hash(&mut hasher);
        StartStamp {
            program: FileStamp::of(program),
            files: of_home
                .chain(of_workspace)
                .chain(of_machine)
                .map(|path| FileStamp::of(&path))
                .collect(),
            home,
            environment: hasher.finish(),
        }
    }

    /// The folder that was taken for codex's own.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }
}

/// Codex's own record of a conversation, as it was at the end of a turn: a file to which every process that goes on with the
/// conversation appends lines of JSON. Codex 0.135 lets any process do that, and one that has the conversation open already
/// does not see it.
#[derive(Debug, Clone)]
pub struct Rollout {
    path: PathBuf,
    file: Option<Known>,
    /// The turn that had ended. Codex may still be writing about it.
    turn_id: Option<String>,
}

/// Which file it was, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    device: u64,
    inode: u64,
    length: u64,
}

/// How much codex may write about a turn that has ended. What is more is not read.
const MOST_APPENDED: u64 = 16 * 1024 * 1024;

impl Rollout {
    /// In this file, of which nothing is known yet.
    pub fn at(path: PathBuf) -> Self {
        Rollout {
            path,
            file: None,
            turn_id: None,
        }
    }

    /// As it is now. Looks at a file.
    pub fn now(self) -> Self {
        Rollout {
            file: Known::of(self.path.metadata()),
            ..self
        }
    }

    /// This turn has ended in it.
    pub fn after(self, turn_id: Option<String>) -> Self {
        Rollout { turn_id, ..self }
    }

    /// Whether nobody has gone on with the conversation since then. Reads a file.
    pub fn is_unchanged(&self) -> bool {
        let Some(before) = &self.file else {
            return false;
        };
        // One that cannot be read may hold anything.
        self.appended(before)
            .is_ok_and(|lines| lines.is_some_and(|lines| self.are_own(&lines)))
    }

    /// What was appended; `None` if that is not what has happened to it.
    fn appended(&self, before: &Known) -> io::Result<Option<Vec<u8>>> {
        let mut file = File::open(&self.path)?;
        let Some(now) = Known::of(file.metadata()) else {
            return Ok(None);
        };
        let appended = now.length.checked_sub(before.length);
        let is_same = (now.device, now.inode) == (before.device, before.inode);
        let Some(appended) = appended.filter(|length| is_same && *length <= MOST_APPENDED) else {
            return Ok(None);
        };
        let mut lines = Vec::new();
        file.seek(SeekFrom::Start(before.length))?;
        file.take(appended).read_to_end(&mut lines)?;
        Ok(Some(lines))
    }

    /// Whether these lines say nothing but how the turn ended. Whoever goes on with the conversation begins another turn,
    /// and what begins it has its id.
    fn are_own(&self, lines: &[u8]) -> bool {
        let Some(lines) = lines.strip_suffix(b"\n") else {
            // Half a line says nothing.
            return lines.is_empty();
        };
        let mut lines = lines.split(|byte| *byte == b'\n');
        lines.all(|line| {
            let line = serde_json::from_slice::<RolloutLine<'_>>(line);
            line.is_ok_and(|line| line.is_of(self.turn_id.as_deref()))
        })
    }
}

impl Known {
    fn of(metadata: io::Result<Metadata>) -> Option<Self> {
        let metadata = metadata.ok()?;
        Some(Known {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.size(),
        })
    }
}

/// A line of the record.
#[derive(Deserialize)]
struct RolloutLine<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    payload: RolloutPayload<'a>,
}

#[derive(Deserialize)]
struct RolloutPayload<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    turn_id: Option<Cow<'a, str>>,
}

impl RolloutLine<'_> {
    /// Whether it can only be of this turn, or says nothing of any.
    fn is_of(&self, turn_id: Option<&str>) -> bool {
        let payload = &self.payload;
        match &payload.turn_id {
            Some(id) => Some(&**id) == turn_id,
            // The words of the user, of the model and of a tool, which follow what begins a turn. (Codex 0.135 may write
            // those of the user after the end of a turn that was stopped at once.)
            None => {
                self.kind == "response_item"
                    || self.kind == "event_msg"
                        && matches!(
                            payload.kind.as_deref(),
                            Some("user_message" | "agent_message" | "token_count")
                        )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_record_is_unchanged_as_long_as_only_its_last_turn_is_written_about() {
        let own = r#"{"type":"event_msg","payload":{"type":"task_complete","turn_id":"t1"}}"#;
        let count = r#"{"type":"event_msg","payload":{"type":"token_count","info":null}}"#;
        let output = r#"{"type":"response_item","payload":{"type":"function_call_output"}}"#;
        let usage = r#"{"type":"token_usage_record","payload":{"turn_id":"t1"}}"#;
        let begins = r#"{"type":"event_msg","payload":{"type":"task_started","turn_id":"t2"}}"#;
        let context = r#"{"type":"turn_context","payload":{"turn_id":"t2"}}"#;
        let user = r#"{"type":"event_msg","payload":{"type":"user_message","message":"x"}}"#;
        let back = r#"{"type":"event_msg","payload":{"type":"thread_rolled_back"}}"#;
        for (appended, unchanged) in [
            (String::new(), true),
            (format!("{own}\n"), true),
            (format!("{output}\n{usage}\n{count}\n{own}\n"), true),
            // It is still being written.
            (own.to_owned(), false),
            (format!("{own}\n{begins}\n"), false),
            (format!("{context}\n"), false),
            (format!("{user}\n"), true),
            (format!("{begins}\n{user}\n"), false),
            (format!("{back}\n"), false),
            ("no JSON\n".to_owned(), false),
            ("\n".to_owned(), false),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(b"before\n").unwrap();
            let before = Rollout::at(file.path().to_owned())
                .now()
                .after(Some("t1".into()));
            file.write_all(appended.as_bytes()).unwrap();
            assert_eq!(before.is_unchanged(), unchanged, "{appended}");
        }
    }

    #[test]
    fn a_record_that_is_shorter_another_file_or_gone_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rollout.jsonl");
        assert!(!Rollout::at(path.clone()).now().is_unchanged());
        std::fs::write(&path, "before\n").unwrap();
        let before = Rollout::at(path.clone()).now();
        assert!(before.is_unchanged());
        std::fs::write(&path, "").unwrap();
        assert!(!before.is_unchanged());
        std::fs::write(&path, "before\n").unwrap();
        assert!(before.is_unchanged());
        let other = folder.path().join("other");
        std::fs::write(&other, "before\n").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(!before.is_unchanged());
        std::fs::remove_file(&path).unwrap();
        assert!(!before.is_unchanged());
    }

    #[test]
    fn it_changes_with_the_program_the_login_the_settings_and_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut environment = vec![("CODEX_HOME".into(), folder.path().into())];
        std::fs::write(path("codex"), "1").unwrap();
        let now =
            |environment: &[_]| StartStamp::now(&path("codex"), folder.path(), environment, None);
        let mut before = now(&environment);
        assert_eq!(before, now(&environment));
        for name in ["auth.json", "config.toml", "AGENTS.md", "codex"] {
            std::fs::write(path(name), "22").unwrap();
            let after = now(&environment);
            assert_ne!(before, after, "{name}");
            before = after;
        }
        environment.push(("X".into(), "1".into()));
        assert_ne!(before, now(&environment));
    }
}
