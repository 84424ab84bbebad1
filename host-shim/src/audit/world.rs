//! How a component fits the world that this host offers.

use serde::Serialize;
use wasmtime::Engine;
use wasmtime::component::{Component as Compiled, Linker};

use super::interface::{Import, Interface};
use super::offered::{EXPORTS, WORLD, compatible};
use crate::capability::CodexCtx;
use crate::capability::bindings::CodexProviderPre;
use crate::capability::view;

/// How a component fits the world that this host offers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct World {
    /// The world.
    pub name: String,
    /// Whether the component exports what the world requires.
    pub conformant: bool,
    /// Required exports that are not there.
    pub missing: Vec<String>,
    /// What is wrong with the exports that are there.
    pub problem: Option<String>,
}

/// Compares a component with the world, type by type, and notes at an import what it asks beyond.
pub fn fit(
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
    let mut linker = Linker::<CodexCtx>::new(engine);
    let linked = view::add_to_linker(&mut linker);
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
            import.problem = Some(format!(
                "it is not the interface that the world has by that name: {said}"
            ));
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
            // Its imports keep it from being loaded, so the exports cannot be examined further.
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
