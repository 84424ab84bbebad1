//! A registry of containers (OCI) of a test's own, on the loopback interface.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::running::{KEEPER, Running};
use crate::tool;
use crate::wait::wait_until;

/// A registry that keeps what it is given in a folder of its own.
pub struct Registry {
    // Ends before its folder does.
    _running: Running,
    scratch: TempDir,
    address: SocketAddr,
}

impl Registry {
    /// A registry, or a skipped test.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        let program = tool::registry(test)?;
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let folder = scratch.path();
        let config = folder.join("config.yml");
        let log = folder.join("log");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '127.0.0.1:0'}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            folder.join("storage").display()
        );
        fs::write(&config, text).expect("a file can be written");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(program).arg("serve");
        command.arg(config).current_dir(folder);
        let running = Running::start(command, &log, folder.to_owned());
        let mut address = None;
        wait_until("the registry listens", || {
            let said = fs::read_to_string(&log).expect("its log can be read");
            address = said.split_once("listening on ").and_then(|(_, rest)| {
                let (address, _) = rest.split_once('"')?;
                address.parse().ok()
            });
            let ended = running.processes().is_empty() && said.contains("fatal");
            assert!(!ended, "{said}");
            address.is_some()
        });
        Some(Registry {
            _running: running,
            scratch,
            address: address?,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with what has this digest (`sha256:…`).
    ///
    /// # Panics
    /// When that is no digest.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        let blobs = Path::new("storage/docker/registry/v2/blobs/sha256");
        let folder = self.scratch.path().join(blobs).join(&hex[..2]);
        folder.join(hex).join("data")
    }
}
