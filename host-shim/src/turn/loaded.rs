//! A component that is ready to run turns: compiled, linked, and with what it is granted.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::Linker;

use crate::capability::CodexCtx;
use crate::capability::bindings::CodexProviderPre;
use crate::capability::view;
use crate::config::Config;
use crate::engine::cache::Cache;
use crate::engine::engine;
use crate::engine::load_error::LoadError;
use crate::engine::ticker::{Ticker, Ticking};
use crate::turn::open::GrantedCodex;

/// A component that is ready to run turns. Cheap to clone.
#[derive(Clone)]
pub struct Loaded {
    /// The component, with its imports.
    pub pre: CodexProviderPre<CodexCtx>,
    /// What it is granted.
    pub codex: GrantedCodex,
    ticker: Arc<Ticker>,
}

impl Loaded {
    /// Compiles and links the component in `bytes`, which may import the world `codex-provider` and nothing else.
    pub fn new(config: Config, bytes: &[u8], cache: &Cache) -> Result<Self, LoadError> {
        // A pin is for these bytes, and anybody who can write to the cache could replace what was made of them.
        let pinned = config.component_sha256.is_some();
        let cache = if pinned { &Cache::none() } else { cache };
        let codex = GrantedCodex::new(config, bytes)?;
        let engine = engine().map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&engine).map_err(|error| LoadError::Engine(error.into()))?;
        let component = cache
            .component(&engine, bytes, codex.component_sha256())
            .map_err(LoadError::of_compiling)?;
        let mut linker = Linker::new(&engine);
        view::add_to_linker(&mut linker).map_err(LoadError::World)?;
        let pre = linker
            .instantiate_pre(&component)
            .and_then(CodexProviderPre::new)
            .map_err(LoadError::World)?;
        Ok(Loaded {
            pre,
            codex,
            ticker: Arc::new(ticker),
        })
    }

    /// Keeps the clock of the engine running.
    pub fn tick(&self) -> Ticking {
        self.ticker.tick()
    }

    /// A store for one turn. A trap or a dropped call leaves a store unusable, so none is
    /// used twice.
    pub fn store(&self, ctx: CodexCtx) -> Store<CodexCtx> {
        let mut store = Store::new(self.pre.engine(), ctx);
        view::limit(&mut store);
        store
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::builtin::{COMPONENT, digest_of};

    #[test]
    fn what_is_pinned_is_compiled_from_its_bytes_and_not_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("cache");
        let config = Config {
            component_sha256: Some(digest_of(COMPONENT)),
            ..Config::default()
        };
        Loaded::new(config, COMPONENT, &Cache::in_folder(&folder)).unwrap();
        assert!(!folder.exists());
    }
}
