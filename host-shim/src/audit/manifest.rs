//! The `plugin.json` of an installed component.

use serde::Serialize;

use super::component::Component;
use super::interface::Import;
use super::offered::EXPORTS;
use super::{Audit, Verdict};

/// The file that a manifest names as the component, beside itself.
pub const COMPONENT_FILE: &str = "plugin.wasm";

/// The manifest of the plugin, for a runtime and for people who inspect an installation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The id that a runtime's allow-list names.
    pub id: String,
    /// The version of the program that wrote this and that hosts the component. Distinguish
    /// components by `sha256`.
    pub version: String,
    /// What kind of plugin it is.
    pub kind: String,
    /// The world that the component is of, with its version.
    pub world: String,
    /// The WIT package that the world is in, with its version.
    pub wit: String,
    /// The component, a file beside this one.
    pub component: String,
    /// The component's SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// All that the component may do: its imports.
    pub capabilities: Vec<Capability>,
}

/// An import of the component.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Capability {
    /// The interface, with its version.
    pub import: String,
    /// What it is for.
    pub meaning: String,
    /// The functions of it that the component asks for.
    pub functions: Vec<String>,
}

/// Why a component has no manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It wants more than this host gives.
    #[error(
        "it asks for more than the grant allows ({}): run `plexum-openai-provider audit` for the details, and use a component that does not need this",
        imports.join(", ")
    )]
    OutsideTheGrant {
        /// The imports that are not granted.
        imports: Vec<String>,
    },
    /// It is not a provider.
    #[error(
        "it is not of the world {world}{}: build it for the world in `wit/`",
        problem.as_ref().map(|problem| format!(" ({problem})")).unwrap_or_default()
    )]
    NotThisWorld {
        /// The world that this host offers.
        world: String,
        /// What is wrong with it, if the engine reports that.
        problem: Option<String>,
    },
}

impl Manifest {
    /// The manifest of an audited component, unless the host would refuse the component.
    /// The component is not run.
    pub fn of(audit: &Audit) -> Result<Self, ManifestError> {
        let Component { world, imports, .. } = &audit.component;
        match audit.verdict {
            Verdict::WithinTheGrant => {}
            Verdict::NotThisWorld => {
                return Err(ManifestError::NotThisWorld {
                    world: world.name.clone(),
                    problem: world.problem.clone(),
                });
            }
            Verdict::OutsideTheGrant => {
                let refused = imports.iter().filter(|import| !import.granted);
                return Err(ManifestError::OutsideTheGrant {
                    imports: refused.map(|import| import.name.clone()).collect(),
                });
            }
        }
        Ok(Manifest {
            id: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: "provider".to_owned(),
            wit: package(EXPORTS[0]),
            world: world.name.clone(),
            component: COMPONENT_FILE.to_owned(),
            sha256: audit.component.sha256.clone(),
            capabilities: imports.iter().map(Capability::new).collect(),
        })
    }
}

impl Capability {
    fn new(import: &Import) -> Self {
        Capability {
            import: import.name.clone(),
            meaning: import.meaning.clone().unwrap_or_default(),
            functions: import.functions.clone(),
        }
    }
}

/// `a:b@1.0.0` of `a:b/c@1.0.0`.
fn package(interface: &str) -> String {
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    let package = name.split_once('/').map_or(name, |(package, _)| package);
    format!("{package}@{version}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::builtin::COMPONENT;

    #[test]
    fn the_manifest_of_the_built_in_component_says_what_it_may_do() {
        let audit = Audit::of(COMPONENT, &Config::default()).unwrap();
        let manifest = Manifest::of(&audit).unwrap();
        assert_eq!(manifest.id, "plexum-openai-provider");
        assert_eq!(manifest.wit, "plexum:provider@0.1.0");
        assert_eq!(manifest.world, "plexum:codex/codex-provider@0.1.0");
        assert_eq!(manifest.sha256, crate::engine::builtin::sha256(COMPONENT));
        let codex = manifest.capabilities.iter().find(|capability| {
            capability.import == "plexum:codex/codex@0.1.0"
                && capability.functions.contains(&"spawn".to_owned())
        });
        assert_eq!(
            codex.unwrap().meaning,
            "start codex, read its lines, stop it"
        );
        assert_eq!(
            manifest.capabilities.len(),
            audit.component.imports.len(),
            "{manifest:?}"
        );
    }

    #[test]
    fn a_component_that_the_host_would_refuse_has_none() {
        let mut audit = Audit::of(COMPONENT, &Config::default()).unwrap();
        audit.verdict = Verdict::OutsideTheGrant;
        if let Some(import) = audit.component.imports.first_mut() {
            import.granted = false;
        }
        let error = Manifest::of(&audit).unwrap_err().to_string();
        assert!(error.contains("(plexum:codex/"), "{error}");
        audit.verdict = Verdict::NotThisWorld;
        let error = Manifest::of(&audit).unwrap_err().to_string();
        assert!(
            error.contains("not of the world plexum:codex/codex-provider@0.1.0: build"),
            "{error}"
        );
    }
}
