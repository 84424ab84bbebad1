//! The types of the package `plexum:provider`, generated. Nothing here comes from `plexum:codex`.
#![allow(missing_docs, clippy::undocumented_unsafe_blocks)]

wit_bindgen::generate!({
    path: ["../../wit/provider"],
    world: "plexum:provider/provider-plugin",
    pub_export_macro: true,
});

pub use exports::plexum::provider::turns;
