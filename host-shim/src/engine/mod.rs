//! The WebAssembly engine: the component's bytes, its machine code, and the clock that interrupts it.

pub mod builtin;
pub mod cache;
pub mod load_error;
pub mod ticker;

use wasmtime::{Config, Engine};

use crate::config::guest_limits::MAX_STACK_BYTES;

/// An engine whose code can be interrupted.
pub fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(MAX_STACK_BYTES);
    Engine::new(&config)
}
