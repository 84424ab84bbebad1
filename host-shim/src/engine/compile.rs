//! From a component to its machine code.

use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use wasmtime::Engine;
use wasmtime::component::Component;

/// More would gain little: the last of a component's functions wait for its largest one.
const MOST_THREADS: usize = 8;

/// Compiles a component, with a thread for each processor. They end when that is done. Where there are none to be had, this
/// one does it alone.
pub fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    let compiled = || Component::from_binary(engine, bytes);
    // Not the threads that rayon starts by itself, and keeps: it panics if there are none to be had.
    match threads().or_else(|_| this_thread()) {
        Ok(pool) => pool.install(compiled),
        // This thread is one of somebody's pool already.
        Err(_) => compiled(),
    }
}

fn threads() -> Result<ThreadPool, ThreadPoolBuildError> {
    let processors = available_parallelism().map_or(1, usize::from);
    let builder = ThreadPoolBuilder::new().num_threads(processors.min(MOST_THREADS));
    builder
        .thread_name(|_| "plexum-compiler".to_owned())
        .build()
}

/// A pool that starts no thread.
fn this_thread() -> Result<ThreadPool, ThreadPoolBuildError> {
    let builder = ThreadPoolBuilder::new().num_threads(1);
    builder.use_current_thread().build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::COMPONENT;
    use crate::engine::engine;

    #[test]
    fn one_thread_compiles_what_many_do() {
        let engine = engine().unwrap();
        let many = compile(&engine, COMPONENT).unwrap();
        let one = this_thread().unwrap();
        let one = one.install(|| Component::from_binary(&engine, COMPONENT));
        assert!(many.serialize().unwrap() == one.unwrap().serialize().unwrap());
    }
}
