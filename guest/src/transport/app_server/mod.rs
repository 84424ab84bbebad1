//! The transport `app-server`: a codex that stays, and reports a turn in the notifications of its JSON-RPC protocol.
//!
//! The host asks for everything, in messages that it composes itself; the component reads what codex says meanwhile.
//! Lines that are not notifications stay with the host.

mod failure;
mod item;
mod notification;
mod tool;
mod usage;

pub use notification::Reader;
