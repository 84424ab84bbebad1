//! Where a component and its host meet: what it asks for and what it offers.

use serde::Serialize;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;

use super::offered::{IMPORTS, compatible};

/// An interface, or a bare function, by which a component and its host meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Interface {
    /// Its full name.
    pub name: String,
    /// The names of its functions; empty for a bare function.
    pub functions: Vec<String>,
}

/// Something that a component asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Import {
    /// Its full name.
    pub name: String,
    /// The names of the functions that the component asks for; empty for a bare function.
    pub functions: Vec<String>,
    /// What it is for, when the world knows it.
    pub meaning: Option<String>,
    /// Whether the component gets it.
    pub granted: bool,
    /// Why not, and what to do.
    pub problem: Option<String>,
}

impl Import {
    /// What this host grants of it.
    pub(super) fn new(interface: Interface) -> Self {
        let Interface { name, functions } = interface;
        let known = IMPORTS.iter().find(|(known, _)| compatible(known, &name));
        let problem = if name.starts_with("wasi:") {
            "nothing of WASI is in the grant: build the component without it (in Rust: `no_std`)"
        } else {
            "this host has no such thing: build the component for the world in `wit/`, or take a host that has it"
        };
        Import {
            name,
            functions,
            meaning: known.map(|(_, meaning)| (*meaning).to_owned()),
            granted: known.is_some(),
            problem: known.is_none().then(|| problem.to_owned()),
        }
    }
}

impl Interface {
    /// What a compiled component says of it.
    pub(super) fn of(engine: &Engine, name: &str, item: &ComponentItem) -> Self {
        let mut functions = Vec::new();
        if let ComponentItem::ComponentInstance(instance) = item {
            for (function, export) in instance.exports(engine) {
                if matches!(export.ty, ComponentItem::ComponentFunc(_)) {
                    functions.push(function.to_owned());
                }
            }
        }
        Interface {
            name: name.to_owned(),
            functions,
        }
    }
}
