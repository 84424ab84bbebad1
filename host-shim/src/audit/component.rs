//! What the bytes of a component show.

use serde::Serialize;
use wasmparser::Parser;

use super::AuditError;
use super::interface::{Import, Interface};
use super::producers::{Producer, producers};
use super::world::{World, fit};
use crate::config::Config;
use crate::engine::builtin::COMPONENT;
use crate::engine::builtin::sha256;
use crate::engine::cache::Cache;
use crate::engine::engine;
use crate::engine::load_error::LoadError;

/// What a component may get from elsewhere, and where from: the beginnings of interface names.
const ABSENT: [(&str, &[&str]); 6] = [
    ("files", &["wasi:filesystem/"]),
    ("network", &["wasi:sockets/", "wasi:http/"]),
    ("environment", &["wasi:cli/environment", "wasi:config/"]),
    ("clocks", &["wasi:clocks/"]),
    ("random", &["wasi:random/"]),
    ("standard streams", &["wasi:cli/std", "wasi:io/"]),
];

/// A component.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Component {
    /// Whether it is the one that this program was built with.
    pub built_in: bool,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// Whether it is the one that `component_sha256` of the configuration names.
    pub pin: Pin,
    /// Its size in bytes.
    pub size: u64,
    /// Which tools made it and the modules in it, if they say so. Nothing verifies that.
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

/// Whether the configuration's `component_sha256` allows a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// It is not set.
    Unset,
    /// It allows this one.
    Matches,
    /// It allows another one only.
    Differs,
}

impl Component {
    /// Reads a component; the error says what else the bytes are.
    pub(super) fn of(bytes: &[u8], config: &Config) -> Result<Self, AuditError> {
        let not_one = |why: &str| AuditError::NotAComponent(why.to_owned());
        if !Parser::is_component(bytes) {
            return Err(not_one(if Parser::is_core_wasm(bytes) {
                "it is a core module"
            } else {
                "it does not begin as one"
            }));
        }
        let producers = producers(bytes)
            .map_err(|error| not_one(&format!("its sections cannot be read: {error}")))?;
        let sha256 = sha256(bytes);
        // Compiled, because only the engine knows the types; never instantiated. A turn would use the same machine code.
        let unusable = |error: wasmtime::Error| match LoadError::of_compiling(error) {
            LoadError::Compile(error) => not_one(&format!("{error:#}")),
            other => AuditError::Engine(other),
        };
        let engine = engine().map_err(|error| AuditError::Engine(LoadError::Engine(error)))?;
        let compiled = Cache::of_user().component(&engine, bytes, &sha256);
        let compiled = compiled.map_err(unusable)?;
        let kind = compiled.component_type();
        let imports = kind
            .imports(&engine)
            .map(|(name, import)| Interface::of(&engine, name, &import.ty));
        let mut imports: Vec<Import> = imports.map(Import::new).collect();
        let exports: Vec<Interface> = kind
            .exports(&engine)
            .map(|(name, export)| Interface::of(&engine, name, &export.ty))
            .collect();
        let world = fit(&engine, &compiled, &mut imports, &exports);
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

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        Component as Encoded, ComponentExportKind, ComponentExportSection, ComponentImportSection,
        ComponentInstanceSection, ComponentTypeRef, ComponentTypeSection, ComponentValType,
        InstanceType,
    };

    use super::super::offered::EXPORTS;
    use super::*;

    fn read(bytes: &[u8]) -> Result<Component, AuditError> {
        Component::of(bytes, &Config::default())
    }

    /// A component that imports an interface of one function.
    fn importing(name: &str, function: &str) -> Vec<u8> {
        let mut interface = InstanceType::new();
        interface
            .ty()
            .function()
            .params::<[(&str, ComponentValType); 0], ComponentValType>([])
            .result(None);
        interface.export(function, ComponentTypeRef::Func(0));
        let mut types = ComponentTypeSection::new();
        types.instance(&interface);
        let mut imports = ComponentImportSection::new();
        imports.import(name, ComponentTypeRef::Instance(0));
        let mut component = Encoded::new();
        component.section(&types);
        component.section(&imports);
        component.finish()
    }

    #[test]
    fn the_built_in_component_says_what_it_is() {
        let component = read(COMPONENT).unwrap();
        assert_eq!(component.world.problem, None);
        assert_eq!(component.size, COMPONENT.len() as u64);
        assert_eq!(component.not_imported.len(), ABSENT.len());
        let spawn = component.imports.iter().find(|import| {
            import.name == "plexum:codex/codex@0.1.0"
                && import.functions.contains(&"spawn".to_owned())
        });
        assert!(spawn.unwrap().granted);
        let bindings = component.producers.iter().find(|producer| {
            producer.part.starts_with("module") && producer.name == "wit-bindgen-rust"
        });
        assert!(bindings.is_some(), "{:?}", component.producers);
    }

    #[test]
    fn what_is_not_a_component_is_reported() {
        for (bytes, expected) in [
            (b"\0asm\x01\0\0\0".as_slice(), "core module"),
            (b"hello", "does not begin"),
            (b"", "does not begin"),
            (&COMPONENT[..1000], "cannot be read"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_component_without_the_export_is_not_of_this_world() {
        let component = read(&Encoded::new().finish()).unwrap();
        assert!(!component.world.conformant);
        assert_eq!(component.world.missing, EXPORTS);
    }

    #[test]
    fn an_export_of_the_right_name_and_another_shape_is_not_of_this_world() {
        let mut instances = ComponentInstanceSection::new();
        instances.export_items::<&str, [(&str, ComponentExportKind, u32); 0]>([]);
        let mut exports = ComponentExportSection::new();
        exports.export(EXPORTS[0], ComponentExportKind::Instance, 0, None);
        let mut encoded = Encoded::new();
        encoded.section(&instances);
        encoded.section(&exports);
        let world = read(&encoded.finish()).unwrap().world;
        assert!(!world.conformant && world.missing.is_empty());
        assert!(world.problem.unwrap().contains("describe"));
    }

    #[test]
    fn an_unknown_import_is_not_granted() {
        let component = read(&importing("wasi:clocks/monotonic-clock@0.2.0", "now")).unwrap();
        let import = &component.imports[0];
        assert_eq!((import.granted, &import.meaning), (false, &None));
        assert_eq!(import.functions, ["now"]);
        assert!(import.problem.as_ref().unwrap().contains("no_std"));
        assert!(!component.not_imported.contains(&"clocks".to_owned()));
        assert!(component.not_imported.contains(&"files".to_owned()));
        let import = &read(&importing("evil:disk/format", "now")).unwrap().imports[0];
        assert!(import.problem.as_ref().unwrap().contains("no such thing"));
    }

    #[test]
    fn a_known_interface_with_a_function_more_is_not_granted() {
        let component = read(&importing("plexum:codex/codex@0.1.0", "format-disk")).unwrap();
        let import = &component.imports[0];
        assert!(!import.granted);
        let problem = import.problem.as_ref().unwrap();
        assert!(problem.contains("format-disk"), "{problem}");
    }

    #[test]
    fn an_interface_that_fits_by_its_name_is_still_compared_by_its_shape() {
        let other = importing("plexum:codex/log@0.1.7", "write");
        let import = &read(&other).unwrap().imports[0];
        assert!(import.meaning.is_some() && !import.granted, "{import:?}");
    }
}
