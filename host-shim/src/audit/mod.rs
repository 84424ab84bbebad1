//! Everything that a component may do under a configuration, found without running it.
//!
//! The component is parsed, and its types are compared with those of the world that this host
//! offers. It is never instantiated, and codex is never started.

mod arguments;
mod comparison;
mod component;
mod environment;
mod interface;
mod layout;
mod limits;
mod manifest;
mod message_explanation;
mod messages;
mod offered;
mod producers;
mod program;
mod report;
mod workspace;
mod world;

pub use arguments::Argument;
pub use comparison::{Difference, Interfaces, InterfacesError};
pub use component::{Component, Pin};
pub use environment::environment_lines;
pub use interface::{Import, Interface};
pub use layout::{escaped, quoted, shell_word};
pub use limits::{Limit, Unit};
pub use manifest::{COMPONENT_FILE, Capability, Manifest, ManifestError};
pub use message_explanation::{ExplainedMember, MessageExplanation};
pub use messages::{Message, ServerGrant};
pub use producers::Producer;
pub use program::{Program, ProgramFile};
pub use workspace::KeptFile;
pub use world::World;

use serde::Serialize;

use crate::config::{Config, ConfigError, Sandbox};
use crate::engine::load_error::LoadError;
use crate::grant::Grant;

/// What a component may do under a configuration. `Display` gives the text for a person;
/// as JSON it follows `schemas/audit.schema.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Audit {
    /// The result.
    pub verdict: Verdict,
    /// The component.
    pub component: Component,
    /// The program that the component may start.
    pub program: Program,
    /// The arguments that it may start it with, in order.
    pub arguments: Vec<Argument>,
    /// What a codex that stays may be told; absent unless `transport` is `app-server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerGrant>,
    /// Codex's own sandbox, in which the model's tools run.
    pub sandbox: Sandbox,
    /// What the component can know about folders and choose, one sentence per line.
    pub workspace: Vec<String>,
    /// The files that this host keeps, and where.
    pub files: Vec<KeptFile>,
    /// Which environment variables codex gets, one sentence per line; names, never values.
    pub environment: Vec<String>,
    /// How much of everything there may be.
    pub limits: Vec<Limit>,
    /// What all this does not confine.
    pub not_confined: String,
}

/// Whether the grant covers what the component asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every import is granted: the host loads it.
    WithinTheGrant,
    /// It imports something else, or the configuration pins another component: the host refuses it.
    OutsideTheGrant,
    /// It is not a provider of this world: the host refuses it.
    NotThisWorld,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// These bytes are not a component.
    #[error(
        "this is not a WebAssembly component that can be run: {0}; build it with `cargo build --target wasm32-wasip2` or with cargo-component"
    )]
    NotAComponent(String),
    /// They may be one, and this system does not let the engine look at it.
    #[error(transparent)]
    Engine(LoadError),
}

impl Audit {
    /// Examines the component in `bytes` under `config`. Looks at the program on this machine too,
    /// and runs neither.
    pub fn of(bytes: &[u8], config: &Config) -> Result<Self, AuditError> {
        config.check()?;
        let component = Component::of(bytes, config)?;
        let verdict = if !component.world.conformant {
            Verdict::NotThisWorld
        } else if component.pin == Pin::Differs
            || component.imports.iter().any(|import| !import.granted)
        {
            Verdict::OutsideTheGrant
        } else {
            Verdict::WithinTheGrant
        };
        Ok(Audit {
            verdict,
            component,
            program: Program::of(config),
            arguments: arguments::arguments(&Grant::new(config), config),
            server: messages::server_grant(config),
            sandbox: config.sandbox,
            workspace: workspace::rules(),
            files: workspace::files(),
            environment: environment_lines(config),
            limits: limits::limits(config),
            not_confined: not_confined(config.sandbox),
        })
    }
}

fn not_confined(sandbox: Sandbox) -> String {
    let tools = match sandbox {
        Sandbox::DangerFullAccess => "its tools may do whatever this user may",
        Sandbox::WorkspaceWrite => {
            "its own sandbox lets its tools read everything that this user may, and write in the workspace"
        }
        Sandbox::ReadOnly => "its own sandbox lets its tools read everything that this user may",
    };
    format!(
        "This program does not confine codex itself: with `sandbox` {}, {tools}.",
        sandbox_name(sandbox)
    )
}

/// A sandbox mode as config.json and codex write it.
fn sandbox_name(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::DangerFullAccess => "danger-full-access",
        Sandbox::WorkspaceWrite => "workspace-write",
        Sandbox::ReadOnly => "read-only",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::builtin::COMPONENT;

    #[test]
    fn the_built_in_component_is_within_the_grant() {
        let audit = Audit::of(COMPONENT, &Config::default()).unwrap();
        assert_eq!(audit.verdict, Verdict::WithinTheGrant);
        assert!(audit.component.built_in);
    }

    #[test]
    fn another_component_than_the_pinned_one_is_outside_the_grant() {
        let config = |digest: &str| Config {
            component_sha256: Some(digest.to_owned()),
            ..Config::default()
        };
        let digest = crate::engine::builtin::sha256(COMPONENT).to_uppercase();
        let same = Audit::of(COMPONENT, &config(&digest)).unwrap();
        assert_eq!(
            (same.verdict, same.component.pin),
            (Verdict::WithinTheGrant, Pin::Matches)
        );
        let other = Audit::of(COMPONENT, &config(&"0".repeat(64))).unwrap();
        assert_eq!(
            (other.verdict, other.component.pin),
            (Verdict::OutsideTheGrant, Pin::Differs)
        );
    }

    #[test]
    fn a_configuration_that_cannot_be_is_named() {
        let config = Config {
            supported_models: Vec::new(),
            ..Config::default()
        };
        let error = Audit::of(COMPONENT, &config).unwrap_err().to_string();
        assert!(error.contains("`supported_models`: is empty"), "{error}");
    }
}
