//! The host in Node.js, `host-shim/examples/jco`, ready to run.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use plexum_openai_provider::COMPONENT;

use crate::once;
use crate::signal::DefaultSignals as _;
use crate::target_dir::target_dir;
use crate::tool::{jco_modules, node};
use crate::workspace::Workspace;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host-shim/examples/jco");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/hosts");

/// A copy of the example, as a runtime author makes one, with a component transpiled.
pub struct JcoHost {
    node: PathBuf,
    folder: PathBuf,
}

impl JcoHost {
    /// The one with the component that is built into the Rust host; nothing where its tools are missing, so that the
    /// test `name` is to be skipped.
    #[must_use]
    pub fn get(name: &str) -> Option<Self> {
        Self::with_component(name, "jco", COMPONENT)
    }

    /// The same with another component, in a folder of this name.
    ///
    /// # Panics
    /// When the component cannot be transpiled.
    #[must_use]
    pub fn with_component(name: &str, folder: &str, component: &[u8]) -> Option<Self> {
        let node = node(name)?;
        let modules = jco_modules(name)?;
        let target = target_dir().expect("the tests run in a target folder");
        let host = JcoHost {
            node,
            folder: target.join("tmp").join(folder),
        };
        host.make(&modules, component);
        Some(host)
    }

    fn make(&self, modules: &Path, component: &[u8]) {
        let mut files = BTreeMap::new();
        for file in fs::read_dir(EXAMPLE).expect("the example is there") {
            let file = file.expect("it can be listed");
            if file.file_type().is_ok_and(|kind| kind.is_file()) {
                let content = fs::read(file.path()).expect("it can be read");
                files.insert(file.file_name(), content);
            }
        }
        let mut key = DefaultHasher::new();
        (&files, component, &self.node, modules).hash(&mut key);
        once::folder(&self.folder, &key.finish().to_string(), |folder| {
            for (name, content) in &files {
                fs::write(folder.join(name), content).expect("it can be copied");
            }
            std::os::unix::fs::symlink(modules, folder.join("node_modules"))
                .expect("its packages can be linked");
            let file = folder.join("component.wasm");
            fs::write(&file, component).expect("the component can be written");
            let mut transpile = self.run("transpile.mjs");
            succeed(transpile.arg(file).arg(self.component()));
        });
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder with the transpiled component.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        self.folder.join("transpiled")
    }

    /// A script of the example, to be completed.
    #[must_use]
    pub fn run(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command
            .arg(self.folder.join(script))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .default_signals();
        command
    }

    /// A script of `tests/suites/hosts`, which imports the example; to be completed.
    #[must_use]
    pub fn test(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command
            .arg(Path::new(SCRIPTS).join(script))
            .arg(&self.folder);
        command
    }

    /// What `say --json` is in the Rust host, to be completed.
    #[must_use]
    pub fn say(&self, workspace: &Workspace, options: &[&str], prompt: &str) -> Command {
        let mut command = self.run("host.mjs");
        command
            .arg("--component")
            .arg(self.component())
            .arg("--config")
            .arg(workspace.config())
            .arg("--workspace")
            .arg(workspace.path())
            .args(options)
            .args(["--", prompt])
            .env("XDG_STATE_HOME", workspace.state_home());
        command
    }
}

/// What a command printed, which must succeed.
///
/// # Panics
/// When it does not.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the command can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{stderr}");
    output
}
