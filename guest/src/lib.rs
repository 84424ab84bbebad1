//! The sandboxed half of the provider: a request becomes an argument list for
//! codex, and codex's JSON lines become canonical events.
//!
//! Nothing in here does any I/O of its own. What the guest may ask of its host is
//! the [`capability::Capabilities`] trait, which on wasm is the five imports of the WIT
//! world `codex-provider`, and in the unit tests a script.
//!
//! On wasm the crate is `no_std`: a guest that links std imports WASI, and an
//! operator could no longer read its import list at a glance.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

pub mod bindings;
pub mod capability;
pub mod conversation;
pub mod describe;
pub mod failure;
pub mod json;
pub mod notice;
pub mod request;
pub mod surrogates;
pub mod translate;
pub mod transport;
pub mod turn;

#[cfg(all(target_family = "wasm", feature = "component"))]
mod component;
#[cfg(target_family = "wasm")]
pub mod runtime;
