//! The WIT package as Rust, generated. You need these types only if you run the component in your own store: see
//! [`embed`](crate::embed).
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "codex-provider",
    imports: {
        "plexum:provider/log.write": trappable,
        "plexum:provider/settings.get": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: { "plexum:provider/codex.child": crate::codex::process::Process },
});

pub use exports::plexum::provider::provider;
pub use plexum::provider::{codex, log, session, settings};
