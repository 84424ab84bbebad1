//! The WebAssembly engine: the component's bytes, its machine code, and the clock that interrupts it.

pub mod builtin;
pub mod cache;
mod compile;
pub mod load_error;
pub mod ticker;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Resource, getrlimit};
use wasmtime::{Config, Engine};

use crate::config::guest_limits::MAX_STACK_BYTES;

/// An engine whose code can be interrupted.
///
/// Where the address space is limited, memory is not reserved ahead of its use: that is faster, and takes 4 GiB a
/// turn. Where there are no files in memory, the component's data is copied instead of mapped.
pub fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(MAX_STACK_BYTES);
    if getrlimit(Resource::As).current.is_some() {
        config
            .memory_reservation(0)
            .memory_reservation_for_growth(0)
            .memory_guard_size(0);
    }
    if memfd_create("plexum", MemfdFlags::CLOEXEC).is_err() {
        config.memory_init_cow(false);
    }
    Engine::new(&config)
}
