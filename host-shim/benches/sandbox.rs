//! The component as the host runs it, in a store of its own for every turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plexum_openai_provider::bindings::{CodexProvider, CodexProviderPre};
use plexum_openai_provider::{COMPONENT, CodexCtx, Config, GrantedCodex, OpenTurn, Request, embed};
use tempfile::TempDir;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::in_memory::{Forgetful, Printed};

/// The component, loaded, and what it is granted.
pub struct Sandbox {
    pre: CodexProviderPre<CodexCtx>,
    codex: GrantedCodex,
    workspace: TempDir,
}

impl Sandbox {
    /// One in which codex prints this.
    pub fn new(output: &Arc<str>) -> Self {
        let mut settings = wasmtime::Config::new();
        settings.epoch_interruption(true);
        let engine = Engine::new(&settings).unwrap();
        let component = Component::new(&engine, COMPONENT).unwrap();
        let mut linker = Linker::new(&engine);
        embed::add_to_linker(&mut linker).unwrap();
        let pre = linker.instantiate_pre(&component).unwrap();
        let config = Config {
            binary: Some(std::env::current_exe().unwrap()),
            ..Config::default()
        };
        let codex = GrantedCodex::new(config, COMPONENT)
            .unwrap()
            .with_spawner(Printed(Arc::clone(output)))
            .with_session_store(Forgetful);
        Sandbox {
            pre: CodexProviderPre::new(pre).unwrap(),
            codex,
            workspace: tempfile::tempdir().unwrap(),
        }
    }

    /// The engine, whose epoch must be advanced.
    pub fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    /// A turn that may begin.
    pub async fn open(&self) -> OpenTurn {
        let request = Request::prompt("hello");
        self.codex
            .open(self.workspace.path(), request)
            .await
            .unwrap()
    }

    /// A store for a turn, without the component.
    pub fn store(&self, ctx: CodexCtx) -> Store<CodexCtx> {
        let mut store = Store::new(self.engine(), ctx);
        embed::limit(&mut store);
        store
    }

    /// The component in that store.
    pub async fn instantiate(&self, store: &mut Store<CodexCtx>) -> CodexProvider {
        self.pre.instantiate_async(store).await.unwrap()
    }

    /// Translates what codex printed; how long that took, and how many events it gave.
    pub async fn translate(&self) -> (Duration, usize) {
        let turn = self.open().await;
        let mut store = self.store(turn.ctx);
        let world = self.instantiate(&mut store).await;
        let turns = world.plexum_provider_turns().turn();
        let started = turns.call_start(&mut store, &turn.request).await.unwrap();
        let handle = started.unwrap();
        let began = Instant::now();
        let mut count = 0;
        loop {
            let events = turns.call_next(&mut store, handle).await.unwrap();
            if events.is_empty() {
                return (began.elapsed(), count);
            }
            count += events.len();
        }
    }
}
