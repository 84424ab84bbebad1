//! An agent's workspace, and turns in it through the real program.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use escargot::CargoBuild;
use escargot::format::Message;
use plexum_openai_provider::{
    Event, Failure, FailureKind, NoticeKind, RequestPart, SESSION_FILE, SessionFiles, Usage,
};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

use crate::codex_home::CodexHome;
use crate::fake_codex::{Call, Script, Step, calls};
use crate::signal::DefaultSignals as _;
use crate::target_dir::target_dir;

/// The environment variable with the path of the program, where it has just been built. `scripts/test.sh` sets it.
pub const PROGRAM_VARIABLE: &str = "PLEXUM_TEST_PROGRAM";

/// The program under test: the one that [`PROGRAM_VARIABLE`] names, or one that is built now.
///
/// # Panics
/// When it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match env::var_os(PROGRAM_VARIABLE) {
        Some(path) => path.into(),
        None => built("plexum-openai-provider"),
    })
}

/// Builds a program of the workspace, and returns its path.
fn built(name: &str) -> PathBuf {
    // A test among what is asked for has cargo choose the features that it chooses for `cargo test`. Without one the
    // host would be compiled a second time, for a minute, within the first test that wants the program. This one is the
    // smallest: it is the mock model's.
    let build = cargo_build().bin(name).arg("--test").arg("program");
    let messages = build
        .exec()
        .unwrap_or_else(|error| panic!("{name} cannot be built: {error}"));
    for message in messages {
        let message = message.unwrap_or_else(|error| panic!("{name} cannot be built: {error}"));
        if let Ok(Message::CompilerArtifact(artifact)) = message.decode()
            && artifact.target.name == name
            && let Some(executable) = artifact.executable
        {
            return executable.into_owned();
        }
    }
    panic!("cargo has built {name}, and does not say where");
}

/// A build as the tests themselves were built, to be told of what.
#[must_use]
pub fn cargo_build() -> CargoBuild {
    // Cargo tells a test of which package it is, and `ring` asks for that when it is built: with another answer, it and all
    // that needs it would be built again, here and after the tests.
    let of_the_test = env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| OsStr::as_bytes(name).starts_with(b"CARGO_PKG_"))
        .chain(["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"].map(OsString::from));
    of_the_test
        .fold(CargoBuild::new(), CargoBuild::env_remove)
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        // The whole workspace's features: with fewer, half of it would be built again.
        .arg("--workspace")
        .current_release()
}

/// A scratch workspace with a configuration beside it.
#[derive(Debug)]
pub struct Workspace {
    // The order of the fields is the order of their removal.
    folder: TempDir,
    outside: TempDir,
}

/// What `XDG_CACHE_HOME` names in the tests, for machine code that is compiled once: not the tester's, unless the target
/// folder is one for temporary files, where none is kept.
#[must_use]
pub fn cache_home() -> Option<PathBuf> {
    let target = target_dir()?;
    if target.starts_with("/tmp") || target.starts_with(std::env::temp_dir()) {
        return Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    }
    Some(target.join("tmp/cache"))
}

/// Copies the machine code of the tests to below this folder, for who may clear it: `XDG_CACHE_HOME` may name the folder.
/// What is there stays: a program that runs may have mapped it, and a mapped file that becomes shorter is `SIGBUS`.
///
/// # Panics
/// When it cannot be compiled or copied.
pub fn copy_machine_code(to: &Path) {
    let shared = cache_home().expect("a folder for machine code");
    let [from, to] = [&*shared, to].map(|folder| folder.join("plexum-openai-provider"));
    // Where it has been compiled, this takes a moment.
    let mut compile = Command::new(program());
    let compiled = compile.arg("cache").env("XDG_CACHE_HOME", &shared).output();
    let compiled = compiled.expect("the program runs");
    assert!(compiled.status.success(), "{compiled:?}");
    fs::create_dir_all(&to).expect("a folder can be made");
    fs::set_permissions(&to, Permissions::from_mode(0o700)).expect("its mode can be set");
    for file in fs::read_dir(from).expect("a folder can be read") {
        let file = file.expect("a folder can be read");
        // Others may be writing one.
        if file.path().extension().is_some_and(|kind| kind == "code") {
            let copy = NamedTempFile::new_in(&to).expect("a file can be made");
            fs::copy(file.path(), copy.path()).expect("a file can be copied");
            match copy.persist_noclobber(to.join(file.file_name())) {
                Err(error) if error.error.kind() != ErrorKind::AlreadyExists => {
                    panic!("a file can be renamed: {error}")
                }
                _ => {}
            }
        }
    }
}

impl Workspace {
    /// One whose configuration names this program as codex.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(codex: &Path) -> Result<Self> {
        let workspace = Workspace {
            folder: TempDir::new()?,
            outside: TempDir::new()?,
        };
        workspace.configure(&json!({ "binary": codex }))?;
        Ok(workspace)
    }

    /// One in which `codex`, a fake one, plays these calls.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scripted(codex: &Path, calls: impl IntoIterator<Item = Vec<Step>>) -> Result<Self> {
        let workspace = Self::new(codex)?;
        let script = calls.into_iter().fold(Script::new(), Script::call);
        script.write_to(workspace.path())?;
        Ok(workspace)
    }

    /// The workspace's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file beside the workspace, where codex does not look.
    #[must_use]
    pub fn outside(&self, name: &str) -> PathBuf {
        self.outside.path().join(name)
    }

    /// What the command `session` says of it with these arguments, and its exit code.
    ///
    /// # Panics
    /// When it cannot be run, or does not say text.
    #[must_use]
    pub fn session_command(&self, args: &[&str]) -> (String, Option<i32>) {
        let output = Command::new(program())
            .arg("session")
            .args(args)
            .arg("--workspace")
            .arg(self.path())
            .env("XDG_STATE_HOME", self.state_home())
            .output()
            .expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("it says text");
        (said, output.status.code())
    }

    /// What `XDG_STATE_HOME` names in the turns of this workspace.
    #[must_use]
    pub fn state_home(&self) -> PathBuf {
        self.outside("state")
    }

    /// The store of this workspace's turns, for a provider in this process.
    #[must_use]
    pub fn sessions(&self) -> SessionFiles {
        SessionFiles::default().with_state_folder(self.state_home().join("plexum-openai-provider"))
    }

    /// The file that knows whose this thread is.
    #[must_use]
    pub fn thread_file(&self, thread_id: &str) -> PathBuf {
        self.state_home()
            .join("plexum-openai-provider/threads")
            .join(format!("{thread_id}.json"))
    }

    /// Replaces the configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, config: &Value) -> Result<()> {
        Ok(std::fs::write(self.config(), config.to_string())?)
    }

    /// The path of the configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.outside("config.json")
    }

    /// A `say` in this workspace, to be completed: arguments, environment.
    #[must_use]
    pub fn say<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program());
        command
            .arg("say")
            .arg("--workspace")
            .arg(self.path())
            .arg("--config")
            .arg(self.config());
        let cache = cache_home().map(|cache| ("XDG_CACHE_HOME", cache));
        command
            .args(args)
            .envs(cache)
            .env("XDG_STATE_HOME", self.state_home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .default_signals();
        command
    }

    /// A whole turn with `--json`, with what the program needs to reach a real codex's home.
    ///
    /// # Errors
    /// When the program cannot be run or prints something else than events.
    pub fn turn(&self, home: Option<&CodexHome>, prompt: &str) -> Result<Said> {
        let mut command = self.say(["--json", "--", prompt]);
        command.envs(home.map(|home| ("CODEX_HOME", home.path())));
        // Codex's tools run a login shell, which would read the tester's profile.
        command.envs(home.map(|home| ("HOME", home.path())));
        Said::by(&command.output().context("the program cannot be run")?)
    }

    /// What the fake codex was called with.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn calls(&self) -> Result<Vec<Call>> {
        calls(self.path())
    }

    /// The stored thread id, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn session(&self) -> Result<Option<String>> {
        let path = self.path().join(SESSION_FILE);
        Ok(if path.exists() {
            Some(std::fs::read_to_string(path)?)
        } else {
            None
        })
    }
}

/// What a `say --json` printed.
#[derive(Debug)]
pub struct Said {
    /// The events, in order.
    pub events: Vec<Event>,
    /// The program's exit code.
    pub code: Option<i32>,
    /// The program's standard error.
    pub stderr: String,
}

impl Said {
    /// Reads what the program printed, and checks what holds for every turn: one end, last.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn by(output: &Output) -> Result<Self> {
        let stdout = std::str::from_utf8(&output.stdout)?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let events = stdout
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not an event: {line}")))
            .collect::<Result<Vec<Event>>>()?;
        let ends = events
            .iter()
            .filter(|event| matches!(event, Event::MessageEnd { .. }))
            .count();
        ensure!(
            ends == 1,
            "{ends} ends of the turn\nstdout: {stdout}\nstderr: {stderr}"
        );
        ensure!(
            matches!(events.last(), Some(Event::MessageEnd { .. })),
            "something follows the end of the turn: {stdout}"
        );
        Ok(Said {
            events,
            code: output.status.code(),
            stderr,
        })
    }

    /// The thread and whether it was resumed, from `message_start`.
    #[must_use]
    pub fn start(&self) -> Option<(&str, bool)> {
        self.events.iter().find_map(|event| match event {
            Event::MessageStart {
                thread_id, resumed, ..
            } => Some((thread_id.as_str(), *resumed)),
            _ => None,
        })
    }

    /// The answer: the text of all blocks.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.events.iter().filter_map(|event| match event {
            Event::TextDelta { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// This turn's usage and the thread's.
    #[must_use]
    pub fn usage(&self) -> (Option<Usage>, Option<Usage>) {
        match self.events.last() {
            Some(Event::MessageEnd {
                usage,
                thread_usage,
                ..
            }) => (*usage, *thread_usage),
            _ => (None, None),
        }
    }

    /// The parts of the request that a notice calls unsupported.
    #[must_use]
    pub fn unsupported(&self) -> Vec<RequestPart> {
        let parts = self.events.iter().filter_map(|event| match event {
            Event::Notice {
                kind: NoticeKind::Unsupported { part, .. },
                ..
            } => Some(*part),
            _ => None,
        });
        parts.collect()
    }

    /// The failure that ended the turn.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self.events.last() {
            Some(Event::MessageEnd { failure, .. }) => failure.as_ref(),
            _ => None,
        }
    }

    /// The kind of that failure.
    #[must_use]
    pub fn failure_kind(&self) -> Option<FailureKind> {
        self.failure().map(|failure| failure.kind)
    }
}
