//! Whether an installation works, and how to repair it.
//!
//! Everything is checked as a turn would find it, and tried where that leaves nothing behind: the machine, the disks, the
//! configuration, the component, codex, its login, the workspace. Codex is started only to report its version and
//! whether it is logged in. The component is run only for [`Doctor::turn`].

mod api_key;
mod codex_config;
mod component;
mod configuration;
mod discovery;
mod disk;
#[cfg(feature = "postgres")]
mod fleet;
mod folder;
mod installed;
mod login;
mod machine;
mod report;
mod service;
mod session;
mod start;
mod transport;
mod turn;
mod wrapper;

pub use discovery::discover;
pub use report::{Check, Report, Status};

use std::path::{Path, PathBuf};

use crate::audit::{Audit, AuditError};
use crate::config::Config;
use crate::engine::builtin::COMPONENT;
use crate::grant::program::on_path;

use installed::Installed;

/// What is to be examined.
#[derive(Debug, Clone)]
pub struct Doctor {
    /// The configuration; `None` is the operator's at its usual place.
    pub config: Option<PathBuf>,
    /// The folder that turns are made in.
    pub workspace: PathBuf,
    /// Whether to make a real turn, in a folder of its own. It costs what a turn costs.
    pub turn: bool,
}

impl Doctor {
    /// Examines everything, one thing after the other. Must be called within a tokio runtime.
    pub async fn examine(&self) -> Report {
        let mut checks = folder::homes();
        checks.extend(disk::codex_home());
        checks.extend(machine::checks());
        checks.extend(folder::workspace(&self.workspace));
        checks.extend(disk::workspace(&self.workspace));
        let (config, said) = configuration::read(self.config.as_deref());
        let is_fleet = config
            .as_ref()
            .is_some_and(|config| config.sessions.postgres.is_some());
        if !is_fleet {
            checks.extend(session::checks(&self.workspace));
        }
        checks.extend(said);
        // Checking codex under another configuration than the operator's would only mislead.
        if let Some(config) = config {
            self.under(&config, &mut checks).await;
        }
        Report::new(checks)
    }

    /// What depends on the configuration.
    async fn under(&self, config: &Config, checks: &mut Vec<Check>) {
        checks.push(machine::turns_at_once(config));
        match Audit::of(COMPONENT, config) {
            Ok(audit) => {
                checks.extend(component::checks(&audit));
                checks.extend(installed::file(&audit.program));
            }
            Err(error) => checks.push(Check::problem(
                "component",
                error.to_string(),
                match error {
                    // The text names it.
                    AuditError::Engine(_) => "allow what is forbidden, for this program",
                    _ => "build this program again",
                },
            )),
        }
        #[cfg(feature = "postgres")]
        checks.extend(fleet::checks(config).await);
        checks.extend(api_key::check(config));
        checks.extend(transport::check(config));
        let Ok(path) = installed::program(config) else {
            return;
        };
        checks.extend(service::check(config, &path));
        let (codex, said) = Installed::ask(path, config).await;
        checks.push(said);
        if let Some(codex) = &codex {
            checks.extend(service::start(config, &codex.path).await);
            if self.workspace.is_dir() {
                checks.push(start::check(&codex.path, &self.workspace, config).await);
            }
            checks.extend(wrapper::checks(codex));
            checks.extend(login::checks(codex, config).await);
            if self.turn {
                checks.push(turn::check(config).await);
            }
        }
    }
}

/// Where a service of `systemd --user` looks for programs unless its unit says otherwise.
const SYSTEMD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program of this name that such a service would find.
fn under_systemd(name: &str) -> Option<PathBuf> {
    on_path(name, SYSTEMD_PATH.as_ref())
}

/// A path as a JSON string, to copy into config.json.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}
