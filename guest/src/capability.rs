//! What the guest may ask of its host, as a trait, so that the turn can be tested
//! natively against a script.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::codex::{Awaited, Exit, Output, Refusal};
use crate::bindings::log::Level;
use crate::bindings::session::{self, Entry};

/// The imports of the world `codex-provider`, settings excepted: those are read once,
/// when the turn starts.
pub trait Capabilities {
    /// A running codex.
    type Child: Child;

    /// See `codex.spawn` in the WIT package.
    fn spawn(&self, args: &[String], prompt_on_stdin: Option<&str>)
    -> Result<Self::Child, Refusal>;
    /// See `codex.back-off`.
    fn back_off(&self) -> bool;
    /// See `session.load`.
    fn load_session(&self) -> Result<session::Loaded, session::Error>;
    /// See `session.save`.
    fn save_session(&self, entry: &Entry) -> Result<Vec<String>, session::Error>;
    /// See `session.set-aside`.
    fn set_session_aside(&self) -> Result<(), session::Error>;
    /// See `log.write`.
    fn log(&self, level: Level, message: &str);
}

/// A running codex; see `codex.child` in the WIT package.
pub trait Child {
    /// See `child.lines`.
    fn lines(&self, max_bytes: u32, awaiting: Awaited) -> Output;
    /// See `child.wait`.
    fn wait(&self) -> Exit;
    /// See `child.terminate`.
    fn terminate(&self);
}
