//! The host in Python, `host-shim/examples/python`, ready to run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use plexum_openai_provider::COMPONENT;

use crate::signal::DefaultSignals as _;
use crate::tool::python;
use crate::workspace::Workspace;

const HOST: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host-shim/examples/python/host.py"
);

/// The host, with a component.
pub struct PythonHost {
    python: PathBuf,
    component: Vec<u8>,
}

impl PythonHost {
    /// The one with the component that is built into the Rust host; nothing where Python's package is missing, so that
    /// the test `name` is to be skipped.
    #[must_use]
    pub fn get(name: &str) -> Option<Self> {
        Self::with_component(name, COMPONENT)
    }

    /// The same with another component.
    #[must_use]
    pub fn with_component(name: &str, component: &[u8]) -> Option<Self> {
        Some(PythonHost {
            python: python(name)?,
            component: component.to_vec(),
        })
    }

    /// What `say --json` is in the Rust host, to be completed.
    ///
    /// # Panics
    /// When the component cannot be written beside the workspace.
    #[must_use]
    pub fn say(&self, workspace: &Workspace, options: &[&str], prompt: &str) -> Command {
        let component = workspace.outside("component.wasm");
        fs::write(&component, &self.component).expect("the component can be written");
        let mut command = Command::new(&self.python);
        command
            // No byte code beside the example.
            .arg("-B")
            .arg(HOST)
            .arg("--component")
            .arg(component)
            .arg("--config")
            .arg(workspace.config())
            .arg("--workspace")
            .arg(workspace.path())
            .args(options)
            .args(["--", prompt])
            .env("XDG_STATE_HOME", workspace.state_home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .default_signals();
        command
    }
}
