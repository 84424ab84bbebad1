//! Adds the imports to a linker, and holds a store to its limits.

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Store, UpdateDeadline};

use crate::capability::CodexCtx;
use crate::capability::bindings::{CodexProvider, LinkOptions};
use crate::config::guest_limits::{MAX_CALL_BYTES, MAX_HANDLES};

/// The data of a store in which a provider component runs.
pub trait CodexView: Send + 'static {
    /// What the turn is granted.
    fn codex(&mut self) -> &mut CodexCtx;
}

impl CodexView for CodexCtx {
    fn codex(&mut self) -> &mut CodexCtx {
        self
    }
}

/// Adds the imports of the world `codex-provider`, and nothing else.
///
/// # Errors
/// When the linker has one of them already.
pub fn add_to_linker<T: CodexView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    // What the contract calls unstable is offered too: the component that this crate was built with uses it.
    let mut options = LinkOptions::default();
    options.back_off(true);
    CodexProvider::add_to_linker::<T, HasSelf<CodexCtx>>(linker, &options, T::codex)
}

/// Holds a store, of one turn, to the limits of the configuration (`guest`): memory, tables, handles, the size of a
/// call, and computing time where the engine interrupts at epochs. One epoch is taken to be 10 ms.
pub fn limit<T: CodexView>(store: &mut Store<T>) {
    store.limiter(|data| &mut data.codex().budget);
    store.set_hostcall_fuel(MAX_CALL_BYTES);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().codex().tick()?;
        // The runtime's own yield lets it look at its sockets and timers too.
        let others = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(1, others))
    });
}
