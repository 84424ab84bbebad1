//! A second provider: it answers by itself, with an echo. It is here to show what the contract promises to any
//! ProviderPlugin: it knows nothing of codex, imports nothing, and reports every kind of event, also those that
//! `codex exec` never gives cause for.
//!
//! The last message of the user chooses the answer; `script.rs` has the list.
//!
//! Natively this is an empty library, so that the workspace builds as a whole.
#![cfg_attr(target_family = "wasm", no_std)]

#[cfg(target_family = "wasm")]
extern crate alloc;

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
mod request;
#[cfg(target_family = "wasm")]
mod runtime;
#[cfg(target_family = "wasm")]
mod script;
