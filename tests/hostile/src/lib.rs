//! A component of the provider's world that tries what it must not be able to do. The prompt
//! of the request chooses what.
//!
//! Natively this is an empty library, so that the workspace builds as a whole.
#![cfg_attr(target_family = "wasm", no_std)]
#![allow(clippy::panic, reason = "to panic is one of the things that it tries")]

#[cfg(target_family = "wasm")]
extern crate alloc;

#[cfg(target_family = "wasm")]
mod component;

#[cfg(target_family = "wasm")]
mod server;
