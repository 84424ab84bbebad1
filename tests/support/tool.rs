//! Programs that some tests need and that not every machine has.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::target_dir::target_dir;

/// The environment variable with the path of a file to which each skipped test is added as a line. `scripts/test.sh`
/// sets it: what a test that passes prints, nextest does not show.
pub const SKIPS_VARIABLE: &str = "PLEXUM_TEST_SKIPS";

/// The `cargo-component` that `scripts/test.sh` installs, or the one on PATH; without one the test
/// `name` is to be skipped.
#[must_use]
pub fn cargo_component(name: &str) -> Option<PathBuf> {
    built(name, "cargo-component", &["component", "--version"])
}

/// The `wkg` that `scripts/test.sh` installs, or the one on PATH if it has the command `build` (older ones call it
/// `wit build`); without one the test `name` is to be skipped.
#[must_use]
pub fn wkg(name: &str) -> Option<PathBuf> {
    built(name, "wkg", &["build", "--help"])
}

/// The `auditable2cdx` that `scripts/test.sh` installs; without it the test `name` is to be skipped.
#[must_use]
pub fn auditable2cdx(name: &str) -> Option<PathBuf> {
    // It has no option that it succeeds with.
    let installed = target_dir()?.join("tools/bin/auditable2cdx");
    if installed.is_file() {
        return Some(installed);
    }
    let reason = "auditable2cdx is not installed; run ./scripts/test.sh, which installs it";
    skip(name, reason);
    None
}

/// The `docker-registry` that `scripts/test.sh` installs, or the one on PATH; without one the test `name` is to be skipped.
#[must_use]
pub fn registry(name: &str) -> Option<PathBuf> {
    let installed = target_dir()?.join("tools/registry/usr/bin/docker-registry");
    if installed.is_file() {
        return Some(installed);
    }
    on_path(name, "docker-registry")
}

/// A program of the distribution on PATH; without it the test `name` is to be skipped.
#[must_use]
pub fn on_path(name: &str, program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        let reason =
            format!("{program} is not installed; run ./scripts/test.sh as root, which installs it");
        skip(name, &reason);
    }
    found
}

/// The program that `scripts/tool.sh` builds, or the one on PATH, if it runs with these arguments.
fn built(name: &str, program: &str, arguments: &[&str]) -> Option<PathBuf> {
    let installed = target_dir().map(|target| target.join("tools/bin").join(program));
    let found = installed
        .into_iter()
        .chain([PathBuf::from(program)])
        .find(|path| succeeds(Command::new(path).args(arguments)));
    if found.is_none() {
        let reason =
            format!("{program} is not installed; run ./scripts/test.sh, which installs it");
        skip(name, &reason);
    }
    found
}

/// Node.js, to be told which script of `tests/suites/serve` to run, with the packages that `scripts/test.sh`
/// installs for them; without either the test `name` is to be skipped.
#[must_use]
pub fn serve_client(name: &str) -> Option<Command> {
    let folder = target_dir().map(|target| target.join("tools/serve-client"));
    let installed = folder.filter(|folder| folder.join("installed").is_file());
    let Some(folder) = installed else {
        let reason = "the packages of tests/suites/serve are not installed; run ./scripts/test.sh, which installs them";
        skip(name, reason);
        return None;
    };
    let mut node = Command::new("node");
    if !succeeds(node.arg("--version")) {
        skip(name, "there is no Node.js on PATH; install it");
        return None;
    }
    let mut node = Command::new("node");
    node.env("NODE_PATH", folder.join("node_modules"));
    Some(node)
}

/// What `scripts/test.sh` installs of others for the Agent Client Protocol: acpx, and the SDK with the published schema, in
/// a folder `node_modules`; without it the test `name` is to be skipped.
#[must_use]
pub fn acp_clients(name: &str) -> Option<PathBuf> {
    let found = acp_clients_if_there();
    if found.is_none() {
        let reason = "acpx and the SDK of the Agent Client Protocol are not installed; run ./scripts/test.sh, which installs them";
        skip(name, reason);
    }
    found
}

/// The same for what is checked besides, of which another test says that it is not.
#[must_use]
pub fn acp_clients_if_there() -> Option<PathBuf> {
    let folder = target_dir()?.join("tools/acp-clients");
    folder
        .join("installed")
        .is_file()
        .then(|| folder.join("node_modules"))
}

/// A Node.js that can suspend WebAssembly, the one that `scripts/test.sh` installs or the one on PATH;
/// without one the test `name` is to be skipped.
#[must_use]
pub fn node(name: &str) -> Option<PathBuf> {
    let architecture = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let installed = target_dir().map(|target| {
        let package = format!("tools/node/node_modules/node-linux-{architecture}");
        target.join(package).join("bin/node")
    });
    let found = installed
        .into_iter()
        .chain([PathBuf::from("node")])
        .find(|node| suspends_wasm(node));
    if found.is_none() {
        skip(
            name,
            "no Node.js here can suspend WebAssembly (25 and newer can); run ./scripts/test.sh, which installs one",
        );
    }
    found
}

/// The `node_modules` with jco that `scripts/test.sh` installs; without them the test `name` is to be
/// skipped.
#[must_use]
pub fn jco_modules(name: &str) -> Option<PathBuf> {
    let modules = target_dir().map(|target| target.join("tools/jco/node_modules"));
    let found = modules.filter(|modules| modules.join("@bytecodealliance/jco-transpile").is_dir());
    if found.is_none() {
        skip(
            name,
            "jco is not installed; run ./scripts/test.sh, which installs it",
        );
    }
    found
}

/// The Python with the package `wasmtime` that `scripts/test.sh` installs; without it the test `name` is to be
/// skipped.
#[must_use]
pub fn python(name: &str) -> Option<PathBuf> {
    let installed = target_dir().map(|target| target.join("tools/python/bin/python"));
    let found = installed
        .filter(|python| succeeds(Command::new(python).args(["-c", "import wasmtime.component"])));
    if found.is_none() {
        skip(
            name,
            "Python's package wasmtime is not installed; run ./scripts/test.sh, which installs it",
        );
    }
    found
}

fn suspends_wasm(node: &Path) -> bool {
    let script = "process.exit(typeof WebAssembly.promising === 'function' ? 0 : 1)";
    succeeds(Command::new(node).args(["-e", script]))
}

fn succeeds(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The name of the test that runs on this thread.
#[must_use]
pub fn current_test() -> String {
    // nextest runs one test a process, on its main thread; libtest otherwise names a test's thread after it.
    let named = env::var("NEXTEST_TEST_NAME").ok();
    let thread = || thread::current().name().map(str::to_owned);
    named.or_else(thread).unwrap_or_default()
}

/// Says on stderr that the test `name` is skipped, and in the file that [`SKIPS_VARIABLE`] names.
///
/// # Panics
/// Where skipping is not allowed: with `CI=true` or `PLEXUM_TEST_NO_SKIP=1`.
pub fn skip(name: &str, reason: &str) {
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|set| set == value);
    assert!(
        !is("CI", "true") && !is("PLEXUM_TEST_NO_SKIP", "1"),
        "{name} must not be skipped here: {reason}"
    );
    say("SKIPPED", name, reason);
    if let Some(path) = env::var_os(SKIPS_VARIABLE) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| writeln!(file, "SKIPPED: {name}: {reason}"));
        written.expect("the file of skipped tests can be written");
    }
}

/// Says on stderr that the test `name` cannot be made here, because of something that nobody can install. Allowed
/// everywhere.
///
/// # Panics
/// When stderr cannot be written.
pub fn lacks(name: &str, reason: &str) {
    say("NOT POSSIBLE HERE", name, reason);
}

fn say(word: &str, name: &str, reason: &str) {
    // Unlike eprintln, this is seen without --nocapture too.
    writeln!(io::stderr(), "{word}: {name}: {reason}").expect("stderr can be written");
}
