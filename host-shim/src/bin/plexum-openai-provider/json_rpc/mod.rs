//! JSON-RPC 2.0, one message a line: what `serve` and `acp` share.
//!
//! ```text
//! stdin ─▶ line ─▶ message ─▶ service ─▶ output ─▶ stdout
//! ```

pub mod connection;
pub mod error;
mod hangup;
mod json_line;
pub mod line;
pub mod message;
pub mod outgoing;
mod output;
pub mod service;
pub mod standard_streams;
pub mod stdio;
