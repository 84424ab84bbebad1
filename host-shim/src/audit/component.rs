//! What the bytes of a component say.

use std::collections::BTreeMap;

use serde::Serialize;
use wasmparser::{KnownCustom, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as Compiled, HasSelf, Linker};

use crate::bindings::{CodexProvider, CodexProviderPre};
use crate::config::Config;
use crate::digest::sha256;
use crate::host::Host;
use crate::provider::COMPONENT;

/// The world that this host offers.
const WORLD: &str = "plexum:provider/codex-provider@0.1.0";

/// What a component of that world must export.
const EXPORTS: [&str; 1] = ["plexum:provider/provider@0.1.0"];

/// What it may import, and what for.
const IMPORTS: [(&str, &str); 4] = [
    (
        "plexum:provider/codex@0.1.0",
        "start codex, read its lines, stop it",
    ),
    (
        "plexum:provider/session@0.1.0",
        "remember this workspace's conversation",
    ),
    (
        "plexum:provider/settings@0.1.0",
        "read the operator's settings",
    ),
    ("plexum:provider/log@0.1.0", "write to the host's log"),
];

/// What a component may get from elsewhere, and where from: the beginnings of interface names.
const ABSENT: [(&str, &[&str]); 7] = [
    ("files", &["wasi:filesystem/"]),
    ("network", &["wasi:sockets/", "wasi:http/"]),
    ("environment", &["wasi:cli/environment", "wasi:config/"]),
    ("clocks", &["wasi:clocks/"]),
    ("random numbers", &["wasi:random/"]),
    ("standard input and output", &["wasi:cli/std", "wasi:io/"]),
    ("the host's exit", &["wasi:cli/exit"]),
];

/// A component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// Whether it is the one that this program was built with.
    pub built_in: bool,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// Whether it is the one that `component_sha256` of the configuration names.
    pub pin: Pin,
    /// Its size in bytes.
    pub size: u64,
    /// What made it and the modules in it, where they say so; nothing vouches for that.
    pub producers: Vec<Producer>,
    /// Whether it is a provider.
    pub world: World,
    /// What it asks for.
    pub imports: Vec<Import>,
    /// What it offers.
    pub exports: Vec<Interface>,
    /// Which of the usual capabilities of a program it does not ask for.
    pub not_imported: Vec<String>,
}

/// What the configuration's `component_sha256` says of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// Nothing.
    Unset,
    /// That it may be run.
    Matches,
    /// That another one may be run, and this one not.
    Differs,
}

/// An entry of a producers section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Producer {
    /// `component`, or which of the modules and components in it, in order, such as `module 1`.
    pub part: String,
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Of the language or program.
    pub name: String,
    /// Its version, which may be empty.
    pub version: String,
}

/// How a component fits the world that this host offers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct World {
    /// The world.
    pub name: String,
    /// Whether the component exports what the world requires.
    pub conformant: bool,
    /// Required exports that are not there.
    pub missing: Vec<String>,
    /// What is wrong with the exports that are.
    pub problem: Option<String>,
}

/// An interface, or a bare function, by which a component and its host meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its full name.
    pub name: String,
    /// The names of its functions; empty for a bare function.
    pub functions: Vec<String>,
}

/// Something that a component asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

impl Component {
    /// Reads a component; the error says what else the bytes are.
    pub(super) fn of(bytes: &[u8], config: &Config) -> Result<Self, String> {
        if !Parser::is_component(bytes) {
            return Err(if Parser::is_core_wasm(bytes) {
                "it is a core module".into()
            } else {
                "it does not begin as one".into()
            });
        }
        let producers = producers(bytes)
            .map_err(|error| format!("its sections cannot be read: {error}"))?;
        // Compiled, because only the engine knows the types; never instantiated.
        let engine = Engine::default();
        let compiled =
            Compiled::from_binary(&engine, bytes).map_err(|error| format!("{error:#}"))?;
        let kind = compiled.component_type();
        let imports = kind
            .imports(&engine)
            .map(|(name, import)| interface(&engine, name, &import.ty));
        let mut imports: Vec<Import> = imports.map(Import::new).collect();
        let exports: Vec<Interface> = kind
            .exports(&engine)
            .map(|(name, export)| interface(&engine, name, &export.ty))
            .collect();
        let world = fit(&engine, &compiled, &mut imports, &exports);
        let sha256 = sha256(bytes);
        Ok(Component {
            built_in: bytes == COMPONENT,
            pin: match &config.component_sha256 {
                None => Pin::Unset,
                Some(pinned) if pinned.eq_ignore_ascii_case(&sha256) => Pin::Matches,
                Some(_) => Pin::Differs,
            },
            sha256,
            size: bytes.len() as u64,
            producers,
            world,
            not_imported: not_imported(&imports),
            imports,
            exports,
        })
    }
}

impl Import {
    fn new(interface: Interface) -> Self {
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

/// Compares a component with the world, type by type, and notes at an import what it asks beyond.
fn fit(
    engine: &Engine,
    compiled: &Compiled,
    imports: &mut [Import],
    exports: &[Interface],
) -> World {
    let missing: Vec<String> = EXPORTS
        .iter()
        .filter(|required| {
            !exports
                .iter()
                .any(|export| compatible(required, &export.name))
        })
        .map(|required| (*required).to_owned())
        .collect();
    let mut linker = Linker::<Host>::new(engine);
    let linked = CodexProvider::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host);
    let mut problem = linked.err().map(|error| format!("{error:#}"));
    let mut pre = linker.instantiate_pre(compiled);
    if let Err(error) = &pre {
        // An interface of the right name may ask for a function that is not in it.
        let said = format!("{error:#}");
        if imports.iter().all(|import| import.granted)
            && let Some(import) = imports
                .iter_mut()
                .find(|import| said.contains(&format!("`{}`", import.name)))
        {
            import.granted = false;
            import.problem = Some(format!("it is not what the world has by that name: {said}"));
        }
        // Whatever the imports are, what about the exports?
        linker.allow_shadowing(true);
        pre = linker
            .define_unknown_imports_as_traps(compiled)
            .and_then(|()| linker.instantiate_pre(compiled));
    }
    if missing.is_empty() && problem.is_none() {
        problem = match pre.map(CodexProviderPre::new) {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            // It will not be loaded for its imports; more cannot be said of the exports.
            Err(_) if imports.iter().any(|import| !import.granted) => None,
            Err(error) => Some(format!("{error:#}")),
        };
    }
    World {
        name: WORLD.to_owned(),
        conformant: missing.is_empty() && problem.is_none(),
        missing,
        problem,
    }
}

/// Whether an interface is the one that the world has: the engine takes 0.1.1 for 0.1.0.
fn compatible(known: &str, name: &str) -> bool {
    let parts = |name: &str| -> Option<(String, String)> {
        let (interface, version) = name.split_once('@')?;
        let (version, _patch) = version.rsplit_once('.')?;
        Some((interface.to_owned(), version.to_owned()))
    };
    known == name || (parts(known).is_some() && parts(known) == parts(name))
}

fn interface(engine: &Engine, name: &str, item: &ComponentItem) -> Interface {
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

fn not_imported(imports: &[Import]) -> Vec<String> {
    let imported = |beginnings: &[&str]| {
        imports.iter().any(|import| {
            beginnings
                .iter()
                .any(|beginning| import.name.starts_with(beginning))
        })
    };
    ABSENT
        .iter()
        .filter(|(_, beginnings)| !imported(beginnings))
        .map(|(capability, _)| (*capability).to_owned())
        .collect()
}

/// What the producers sections say, each thing once.
fn producers(bytes: &[u8]) -> wasmparser::Result<Vec<Producer>> {
    let mut producers: Vec<Producer> = Vec::new();
    // The parts that are being read, the innermost last.
    let mut parts = vec!["component".to_owned()];
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut nested = None;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } => nested = Some("module"),
            Payload::ComponentSection { .. } => nested = Some("component"),
            Payload::Version { .. } => {
                if let Some(kind) = nested.take() {
                    let count = counts.entry(kind).or_default();
                    *count += 1;
                    parts.push(format!("{kind} {count}"));
                }
            }
            Payload::End(_) => {
                parts.pop();
            }
            Payload::CustomSection(section) => {
                let KnownCustom::Producers(fields) = section.as_known() else {
                    continue;
                };
                let part = parts.last().cloned().unwrap_or_default();
                for field in fields {
                    let field = field?;
                    for value in field.values {
                        let value = value?;
                        producers.push(Producer {
                            part: part.clone(),
                            field: field.name.to_owned(),
                            name: value.name.to_owned(),
                            version: value.version.to_owned(),
                        });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(producers)
}
