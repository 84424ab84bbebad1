//! The WIT packages as Rust, generated. You need these types only if you run the component in your own store: see
//! [`embed`](crate::embed).
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]

wasmtime::component::bindgen!({
    path: ["wit/provider", "wit/codex"],
    world: "plexum:codex/codex-provider",
    imports: {
        "plexum:codex/log.write": trappable,
        "plexum:codex/settings.get": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: {
        "plexum:codex/codex.child": crate::codex::process::Process,
        "plexum:codex/codex-server.turn": crate::capability::codex_server::ServerTurn,
    },
});

pub use exports::plexum::provider::turns;
pub use plexum::codex::{codex, codex_server, log, session, settings};
