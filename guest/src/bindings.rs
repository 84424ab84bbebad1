//! The types and imports that the WIT packages define, generated.
//!
//! Off wasm the imports are stubs that must not be called; the types are the same.
#![allow(missing_docs, clippy::undocumented_unsafe_blocks, clippy::panic)]
#![cfg_attr(not(target_family = "wasm"), allow(dead_code))]

wit_bindgen::generate!({
    path: ["../wit/provider", "../wit/codex"],
    world: "plexum:codex/codex-provider",
    features: ["back-off"],
    pub_export_macro: true,
    additional_derives: [PartialEq],
    // Holds a turn, and no two turns are the same.
    additional_derives_ignore: ["opened"],
});

pub use exports::plexum::provider::turns;
pub use plexum::codex::{codex, codex_server, log, session, settings};
