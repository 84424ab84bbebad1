//! The real codex binaries, where they are installed.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::codex_home::CodexHome;
use crate::signal::DefaultSignals as _;
use crate::target_dir::target_dir;
use crate::tool::skip;

/// The environment variable with the paths of native codex binaries, separated by colons.
pub const PATHS_VARIABLE: &str = "PLEXUM_TEST_CODEX";

/// The versions looked for where the variable is not set: the oldest and the newest supported.
pub const VERSIONS: [&str; 2] = ["0.135.0", "0.169.0"];

/// The flags that a turn of a test needs: no git repository, no sandbox, events on stdout.
pub const TURN_FLAGS: [&str; 3] = [
    "--skip-git-repo-check",
    "--dangerously-bypass-approvals-and-sandbox",
    "--json",
];

/// An installed codex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealCodex {
    /// What its `--version` says, such as `0.169.0`.
    pub version: String,
    /// The native binary.
    pub path: PathBuf,
}

impl RealCodex {
    /// The binaries named by [`PATHS_VARIABLE`]; where it is not set, those of [`VERSIONS`] below
    /// `<target>/tools`. It may find none.
    ///
    /// # Errors
    /// When a binary is named or found but does not run.
    pub fn installed() -> anyhow::Result<Vec<Self>> {
        let paths = match env::var_os(PATHS_VARIABLE).filter(|paths| !paths.is_empty()) {
            Some(paths) => env::split_paths(&paths).collect(),
            None => below_target()?,
        };
        paths.into_iter().map(Self::at).collect()
    }

    /// The npm wrapper of this codex, a node script that starts it.
    ///
    /// # Panics
    /// When it is not where npm installs it.
    #[must_use]
    pub fn wrapper(&self) -> Self {
        let packages = self
            .path
            .ancestors()
            .find(|folder| folder.ends_with("@openai"));
        let path = packages
            .expect("npm has installed it")
            .join("codex/bin/codex.js");
        RealCodex {
            version: format!("{} through npm's wrapper", self.version),
            path,
        }
    }

    /// As [`RealCodex::installed`], but finding none is an error that names the remedy.
    ///
    /// # Errors
    /// When there is none, or one that does not run.
    pub fn require() -> anyhow::Result<Vec<Self>> {
        let found = Self::installed()?;
        if found.is_empty() {
            bail!("no real codex is installed; run ./scripts/test.sh, which installs them");
        }
        Ok(found)
    }

    /// A command that runs this binary in `workspace` with `home`, an empty stdin, and nothing else
    /// from this process's environment than `PATH`.
    #[must_use]
    pub fn command(&self, home: &CodexHome, workspace: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command
            .current_dir(workspace)
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            // Its tools run a login shell, which would read the profile of the user who runs the tests.
            .env("HOME", home.path())
            .env("CODEX_HOME", home.path())
            .stdin(Stdio::null())
            .default_signals();
        command
    }

    /// The codex at this path.
    ///
    /// # Errors
    /// When it does not run, or is none.
    pub fn at(path: PathBuf) -> anyhow::Result<Self> {
        let output = Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text
            .trim()
            .strip_prefix("codex-cli ")
            .with_context(|| format!("{} is no codex: it says {text:?}", path.display()))?
            .to_owned();
        Ok(Self { version, path })
    }
}

/// The real binaries for the test `name`. Where there are none the test is to be skipped: this says
/// so on stderr and returns None, or panics where `CI=true` or `PLEXUM_TEST_NO_SKIP=1`.
///
/// Usually called through [`real_codex!`](crate::real_codex!).
///
/// # Panics
/// Where skipping is not allowed, and when a binary is there but does not run.
#[must_use]
pub fn real_codex_or_skip(name: &str) -> Option<Vec<RealCodex>> {
    let found = RealCodex::installed().unwrap_or_else(|error| panic!("{name}: {error:#}"));
    if !found.is_empty() {
        return Some(found);
    }
    let reason = RealCodex::require()
        .err()
        .map_or_else(String::new, |error| format!("{error:#}"));
    skip(name, &reason);
    None
}

/// The real binaries, or a return from the calling test that says on stderr that it was skipped.
///
/// `real_codex!()` is for tests that return nothing; `real_codex!(Ok(()))` returns that instead.
#[macro_export]
macro_rules! real_codex {
    () => {
        $crate::real_codex!(())
    };
    ($skipped:expr) => {{
        match $crate::real_codex::real_codex_or_skip(&$crate::tool::current_test()) {
            ::std::option::Option::Some(found) => found,
            ::std::option::Option::None => return $skipped,
        }
    }};
}

/// The binaries that `scripts/test.sh` installs.
fn below_target() -> anyhow::Result<Vec<PathBuf>> {
    let Some(target) = target_dir() else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for version in VERSIONS {
        let packages = target.join(format!("tools/codex-{version}/node_modules/@openai"));
        for package in folders(&packages, |name| name.starts_with("codex-linux-"))? {
            let vendor = package.join("vendor");
            for platform in folders(&vendor, |name| name.starts_with(env::consts::ARCH))? {
                found.push(platform.join("bin/codex"));
            }
        }
    }
    Ok(found)
}

/// The folders in `parent` whose names are wanted; none when it does not exist.
fn folders(parent: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| format!("cannot list {}", parent.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&wanted) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
