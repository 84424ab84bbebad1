//! Why a component cannot be used.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::config::ConfigError;
use crate::scarcity;
use crate::session::store::SessionError;

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be read.
    #[error("the component {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not the component that the configuration allows.
    #[error(
        "the component has the SHA-256 {found}, and `component_sha256` in the configuration allows only {pinned}: audit the component, and change the line if it is the one you want"
    )]
    Digest {
        /// That of the component.
        found: String,
        /// The one that is allowed.
        pinned: String,
    },
    /// The engine or its clock cannot be started.
    #[error("the engine that runs the component cannot be started: {0:#}{limit}", limit = limit(.0))]
    Engine(wasmtime::Error),
    /// These bytes are not a component, or the engine cannot compile them.
    #[error("this is not a component that can be run: {0:#}")]
    Compile(wasmtime::Error),
    /// The system does not let this program make machine code.
    #[error(
        "this system forbids memory that was written and is then run as code: allow it for this program, which compiles the component (`MemoryDenyWriteExecute=no` for a service of systemd, `execmem` in SELinux)"
    )]
    ExecutableMemory,
    /// The component asks for more than this host gives, or is not a provider.
    #[error(
        "the component does not fit the world `plexum:codex/codex-provider@0.1.0`, and nothing beyond that world is granted: {0:#}; run `plexum-openai-provider audit` to see what it asks for, and use a component that was built for this world"
    )]
    World(wasmtime::Error),
    /// The store of conversations that the configuration names cannot be used.
    #[error("the conversations cannot be kept as `sessions` says: {0}")]
    Sessions(SessionError),
}

impl LoadError {
    /// Why a component could not be compiled, or its machine code not be loaded.
    pub(crate) fn of_compiling(error: wasmtime::Error) -> Self {
        // The engine has no type for this.
        if format!("{error:#}").contains("memory executable") {
            LoadError::ExecutableMemory
        } else if ran_out(&error).is_some() {
            // Not the component's fault.
            LoadError::Engine(error)
        } else {
            LoadError::Compile(error)
        }
    }
}

/// The limit of the machine or the process that kept the engine from going on, if that is what happened.
pub(crate) fn ran_out(error: &wasmtime::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        let io = cause.downcast_ref::<io::Error>().and_then(scarcity::limit);
        let errno = cause.downcast_ref::<Errno>();
        io.or_else(|| scarcity::limit(&io::Error::from(*errno?)))
    })
}

/// The same as the end of a sentence.
fn limit(error: &wasmtime::Error) -> String {
    ran_out(error).map_or_else(String::new, |limit| format!(": {limit}"))
}
