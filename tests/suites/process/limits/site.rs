//! A user's folders with workspaces among them, and commands there, under a limit or free of it.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use plexum_openai_provider_tests::fake_codex::{CALLS_FILE, Script, Step};
use plexum_openai_provider_tests::workspace::{cache_home, program};
use serde_json::json;
use tempfile::TempDir;

use super::limit::{Disk, Limit, Proc};
use super::matrix::{MANY, Record, Row};

/// How many workspaces there are: one for `say`, and the others for `serve`.
const WORKSPACES: usize = 1 + MANY;

/// Why a limit cannot be set on this machine.
pub type Lacking = String;

/// The folders of one row.
pub struct Site {
    folder: TempDir,
    /// Machine code, if this site has its own.
    cache: Option<TempDir>,
    limit: Limit,
    record: Record,
    user: Option<u32>,
    namespaces: Option<Namespaces>,
}

impl Site {
    /// Makes them.
    pub fn new(row: &Row) -> Result<Self, Lacking> {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        for name in [HOME, CODEX_HOME, TEMPORARY, STATE, RECORD, CALLS, WORKSPACE] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let user = match row.limit {
            Limit::Processes(_) => Some(user_without_processes()?),
            _ => None,
        };
        let cache = match row.limit {
            Limit::Processes(_) => Some(copied_cache()),
            Limit::Full(Disk::Cache) => Some(TempDir::new_in(shared_cache()).unwrap()),
            _ => None,
        };
        let mut site = Site {
            folder,
            cache,
            limit: row.limit,
            record: row.record,
            user,
            namespaces: None,
        };
        site.namespaces = site.enter()?;
        site.fill_in();
        Ok(site)
    }

    /// The namespaces of a limit that is made by them.
    fn enter(&self) -> Result<Option<Namespaces>, Lacking> {
        Ok(Some(match self.limit {
            Limit::Proc(Proc::Missing) => {
                Namespaces::new(&[], "mount -t tmpfs none /proc", Path::new(""))?
            }
            Limit::Proc(Proc::Foreign) => {
                Namespaces::new(&["--pid", "--fork"], "true", Path::new(""))?
            }
            Limit::Full(disk) => {
                let mount = r#"mount -t tmpfs -o mode=700,size=8m none "$DISK""#;
                Namespaces::new(&[], mount, &self.disk(disk))?
            }
            _ => return Ok(None),
        }))
    }

    /// Puts into the folders what has to be there, and gives them to the user.
    fn fill_in(&self) {
        let codex = self.path("codex");
        if let Limit::Full(Disk::CodexHome) = self.limit {
            let script = KEEPS_CONVERSATIONS.replace("FAKE", env!("CARGO_BIN_EXE_fake-codex"));
            fs::write(&codex, script).unwrap();
            fs::set_permissions(&codex, Permissions::from_mode(0o755)).unwrap();
        } else {
            fs::copy(env!("CARGO_BIN_EXE_fake-codex"), &codex).unwrap();
        }
        let config = match self.record {
            Record::Required => json!({ "binary": codex, "record": "required" }),
            Record::Absent | Record::Kept => json!({ "binary": codex }),
        };
        fs::write(self.path("config.json"), config.to_string()).unwrap();
        fs::write(self.seen(CODEX_HOME).join("auth.json"), "{}").unwrap();
        // It writes nothing into the workspace, whose disk may be full: the list of its calls lies elsewhere.
        let usage = json!({ "type": "turn.completed", "usage": { "input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 1 } });
        let script = Script::new().call([
            Step::ThreadStarted,
            Step::TurnStarted,
            Step::Echo,
            Step::emit(usage.to_string()),
        ]);
        for (number, workspace) in self.workspaces().iter().enumerate() {
            let calls = self.path(CALLS).join(number.to_string());
            fs::write(&calls, "").unwrap();
            let workspace = self.seen(workspace);
            fs::create_dir(&workspace).unwrap();
            script.write_to(&workspace).unwrap();
            symlink(calls, workspace.join(CALLS_FILE)).unwrap();
        }
        if let Some(user) = self.user {
            give(self.folder.path(), user);
            if let Some(cache) = &self.cache {
                give(cache.path(), user);
            }
        }
    }

    /// The workspaces.
    pub fn workspaces(&self) -> Vec<PathBuf> {
        let names = (0..WORKSPACES).map(|number| number.to_string());
        names.map(|name| self.path(WORKSPACE).join(name)).collect()
    }

    /// What all that runs here has in its command line.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where this process finds what the program finds at this path.
    fn seen(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.path(path);
        match &self.namespaces {
            Some(namespaces) if matches!(self.limit, Limit::Full(_)) => namespaces.seen(&path),
            _ => path,
        }
    }

    /// The folder that is a disk.
    fn disk(&self, disk: Disk) -> PathBuf {
        match (disk, &self.cache) {
            (Disk::Cache, Some(cache)) => cache.path().to_owned(),
            (Disk::Workspaces, _) => self.path(WORKSPACE),
            (Disk::CodexHome, _) => self.path(CODEX_HOME),
            (Disk::Temporary, _) => self.path(TEMPORARY),
            (Disk::State, _) => self.path(STATE),
            (Disk::Cache | Disk::Record, _) => self.path(RECORD),
        }
    }

    /// What is left where temporary files go.
    pub fn left_temporary(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.seen(TEMPORARY)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| !path.ends_with(FILLER)).collect()
    }

    /// Fills the disk, if that is the limit.
    pub fn fill(&self) {
        if let Limit::Full(disk) = self.limit {
            if let (Disk::Cache, Some(cache)) = (disk, &self.cache) {
                // What is there already needs no room.
                fs::remove_dir_all(self.seen(cache.path()).join(CODE)).unwrap();
            }
            let mut filler = fs::File::create(self.seen(self.disk(disk)).join(FILLER)).unwrap();
            while filler.write_all(&[0; 4096]).is_ok() {}
        }
        // The last block of a file may have room for a line where the disk has none.
        if let Limit::Full(Disk::Record) = self.limit {
            let record = self.seen(RECORD_FILE);
            let mut record = fs::OpenOptions::new().append(true).open(record).unwrap();
            while record.write_all(b"\n").is_ok() {}
        }
    }

    /// Makes room again.
    pub fn clear(&self) {
        if let Limit::Full(disk) = self.limit {
            fs::remove_file(self.seen(self.disk(disk)).join(FILLER)).unwrap();
        }
    }

    /// The program with these arguments; under the limit, or free of it.
    pub fn command(&self, args: &[&str], limited: bool) -> Command {
        // What is full is made full, and stays where it is.
        let inside = limited || matches!(self.limit, Limit::Full(_));
        let mut command = match (&self.namespaces, self.user) {
            (Some(namespaces), _) if inside => namespaces.command(program()),
            (_, Some(user)) => as_user(user, program()),
            _ => Command::new(program()),
        };
        command.args(args);
        if limited {
            self.limit.restrict(&mut command);
        }
        let cache = self.cache.as_ref().map(|cache| cache.path().to_owned());
        command
            .current_dir(self.root())
            .env("HOME", self.path(HOME))
            .env("CODEX_HOME", self.path(CODEX_HOME))
            .env("TMPDIR", self.path(TEMPORARY))
            .env("XDG_STATE_HOME", self.path(STATE))
            .envs(
                cache
                    .or_else(cache_home)
                    .map(|cache| ("XDG_CACHE_HOME", cache)),
            );
        command
    }

    /// The same for a command that runs turns.
    pub fn turns(&self, args: &[&str], limited: bool) -> Command {
        let mut command = self.command(args, limited);
        command.arg("--config").arg(self.path("config.json"));
        if self.record != Record::Absent {
            command.arg("--record").arg(self.path(RECORD_FILE));
        }
        command
    }

    /// `doctor`, under the limit.
    pub fn doctor(&self) -> Command {
        let mut command = self.command(&["doctor", "--workspace"], true);
        command
            .arg(&self.workspaces()[0])
            .arg("--config")
            .arg(self.path("config.json"));
        command
    }
}

/// A codex that writes to its home before each turn, and says what codex 0.169 says when it cannot.
const KEEPS_CONVERSATIONS: &str = r#"#!/bin/sh
if [ "$1" = exec ] && ! echo rollout 2>/dev/null >"$CODEX_HOME/rollout-$$"; then
    echo 'Error: failed to initialize in-process app-server client: No space left on device (os error 28)' >&2
    exit 1
fi
exec 'FAKE' "$@"
"#;

const HOME: &str = "home";
const CODEX_HOME: &str = "codex-home";
const TEMPORARY: &str = "tmp";
const STATE: &str = "state";
const RECORD: &str = "record";
const RECORD_FILE: &str = "record/record.jsonl";
const CALLS: &str = "calls";
const WORKSPACE: &str = "workspaces";
const FILLER: &str = "filler";

/// Namespaces, which are there until this is dropped.
struct Namespaces {
    /// A program in them that waits for the end of its input.
    keeper: Child,
}

impl Namespaces {
    /// Makes them with these arguments of `unshare`, and prepares them with a script of the shell, in which this is `DISK`.
    fn new(unshare: &[&str], prepare: &str, disk: &Path) -> Result<Self, Lacking> {
        let mut keeper = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount"])
            .args(unshare)
            .args([
                "sh",
                "-c",
                &format!("{prepare} && echo ready && read never"),
            ])
            .env("DISK", disk)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("unshare cannot be run: {error}"))?;
        let mut said = String::new();
        let stdout = keeper.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        let namespaces = Namespaces { keeper };
        if said.is_empty() {
            return Err("namespaces are not allowed here".into());
        }
        Ok(namespaces)
    }

    fn command(&self, program: &Path) -> Command {
        let keeper = self.keeper.id();
        let mut command = Command::new("nsenter");
        command
            .arg("--preserve-credentials")
            .arg(format!("--user=/proc/{keeper}/ns/user"))
            .arg(format!("--mount=/proc/{keeper}/ns/mnt"))
            .arg(format!("--pid=/proc/{keeper}/ns/pid_for_children"))
            .arg("--")
            .arg(program);
        command
    }

    fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

/// A user who runs nothing, and never will.
fn user_without_processes() -> Result<u32, Lacking> {
    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        return Err("only root can become a user who runs nothing else".into());
    }
    // Other tests that do this have other process ids.
    Ok(FIRST_USER + std::process::id())
}

/// Users of no system have numbers like these.
const FIRST_USER: u32 = 1_900_000_000;

/// A command as this user, who may go through every folder on the way to the program.
fn as_user(user: u32, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={user}"))
        .args([
            "--clear-groups",
            "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=-all,+dac_read_search",
            "--bounding-set=-all,+dac_read_search",
        ])
        .arg(program);
    command
}

/// The folder of the machine code that tests share, which is made if this is the first of them.
fn shared_cache() -> PathBuf {
    let shared = cache_home().unwrap();
    fs::create_dir_all(&shared).unwrap();
    shared
}

/// The folder of the program in it.
const CODE: &str = "plexum-openai-provider";

/// The machine code that tests share, for another user, who would compile it again.
fn copied_cache() -> TempDir {
    let shared = shared_cache();
    let copy = TempDir::new_in(&shared).unwrap();
    let folder = copy.path().join(CODE);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(shared.join(CODE)).into_iter().flatten() {
        let entry = entry.unwrap();
        // Another test may replace it meanwhile.
        fs::copy(entry.path(), folder.join(entry.file_name())).ok();
    }
    copy
}

/// Gives a folder and all that is in it to a user.
fn give(folder: &Path, user: u32) {
    chown(folder, Some(user), Some(user)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            give(&path, user);
        } else if !metadata.is_symlink() {
            chown(&path, Some(user), Some(user)).unwrap();
        }
    }
}
