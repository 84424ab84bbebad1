//! A private `CODEX_HOME`: the real codex, quiet, and talking to a loopback model.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::target_dir::target_dir;

/// The model named in the configuration. Every codex since 0.135 knows it, so none warns about it.
pub const MODEL: &str = "gpt-5.5";

/// A folder to hand to codex as `CODEX_HOME`.
#[derive(Debug)]
pub struct CodexHome {
    path: PathBuf,
    // Held for its drop, which removes the folder.
    _temporary: Option<TempDir>,
}

impl CodexHome {
    /// Makes a temporary home whose only model provider is the server at `base_url`
    /// (`http://127.0.0.1:PORT/v1`). It is removed when the value is dropped.
    ///
    /// # Errors
    /// When the folder or its `config.toml` cannot be written.
    pub fn new(base_url: &str) -> anyhow::Result<Self> {
        // Codex warns on every start about a home below the system's temporary folder.
        let parent = target_dir().map_or_else(std::env::temp_dir, |target| target.join("tmp"));
        fs::create_dir_all(&parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        let temporary = tempfile::Builder::new()
            .prefix("codex-home-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
        let home = Self::create_in(temporary.path(), base_url)?;
        Ok(Self {
            _temporary: Some(temporary),
            ..home
        })
    }

    /// Makes `folder` such a home, creating it if it is missing and replacing its `config.toml`.
    /// It stays when the value is dropped.
    ///
    /// # Errors
    /// When the folder or its `config.toml` cannot be written.
    pub fn create_in(folder: &Path, base_url: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let config = folder.join("config.toml");
        fs::write(&config, quiet_config(base_url))
            .with_context(|| format!("cannot write {}", config.display()))?;
        Ok(Self {
            path: folder.to_path_buf(),
            _temporary: None,
        })
    }

    /// The folder: the value of `CODEX_HOME`, the one environment variable it takes.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `toml` to `config.toml`. It has to start with a table of its own, such as
    /// `[mcp_servers.x]`: a bare key would end up in the last table of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append_config(&self, toml: &str) -> anyhow::Result<()> {
        let config = self.path.join("config.toml");
        OpenOptions::new()
            .append(true)
            .open(&config)
            .and_then(|mut file| writeln!(file, "\n{toml}"))
            .with_context(|| format!("cannot append to {}", config.display()))
    }
}

/// A configuration with which codex talks to `base_url` and to nobody else. The provider names no
/// key, so codex asks for no login and sends no `Authorization`.
fn quiet_config(base_url: &str) -> String {
    // Debug formatting of a URL is also a valid TOML string.
    format!(
        r#"model = "{MODEL}"
model_provider = "mock"
check_for_update_on_startup = false

[analytics]
enabled = false

# Each of these costs every start something: git against the network, a list of apps, a login shell.
[features]
plugins = false
apps = false
shell_snapshot = false

[model_providers.mock]
name = "mock"
base_url = {base_url:?}
wire_api = "responses"
"#
    )
}
