//! What the guest may ask of its host, as a trait, so that the turn can be tested
//! natively against a script.

use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;

use crate::bindings::codex::{Awaited, Exit, Output, Refusal};
use crate::bindings::codex_server::{Finished, NotOpened, PromptOptions, Wanted};
use crate::bindings::log::Level;
use crate::bindings::session::{self, Entry};

/// The imports of the world `codex-provider`, settings excepted: those are read once,
/// when the turn starts.
pub trait Capabilities {
    /// A running codex.
    type Child: Child;
    /// A turn of a codex that stays.
    type ServerTurn: ServerTurn;

    /// See `codex.spawn` in the WIT package.
    fn spawn(&self, args: &[String], prompt_on_stdin: Option<&str>)
    -> Result<Self::Child, Refusal>;
    /// See `codex-server.open`.
    fn open(&self, wanted: &Wanted) -> Result<Opened<Self::ServerTurn>, NotOpened>;
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

/// A conversation that is open in a codex that stays; see `codex-server.opened` in the WIT package.
pub struct Opened<T> {
    /// The turn, which has not begun.
    pub turn: T,
    /// The conversation, as codex names it.
    pub thread_id: String,
    /// The model that answers, as codex says.
    pub model: Option<String>,
}

/// A turn of a codex that stays; see `codex-server.turn` in the WIT package.
pub trait ServerTurn {
    /// See `turn.prompt`.
    fn prompt(&self, text: &str, images: &[u32], options: PromptOptions) -> Result<(), NotOpened>;
    /// See `turn.lines`.
    fn lines(&self, max_bytes: u32, awaiting: Awaited) -> Output;
    /// See `turn.interrupt`.
    fn interrupt(&self);
    /// See `turn.finish`.
    fn finish(&self) -> Finished;
}

/// For a host that knows only `codex exec`.
impl ServerTurn for Infallible {
    fn prompt(&self, _: &str, _: &[u32], _: PromptOptions) -> Result<(), NotOpened> {
        match *self {}
    }

    fn lines(&self, _: u32, _: Awaited) -> Output {
        match *self {}
    }

    fn interrupt(&self) {
        match *self {}
    }

    fn finish(&self) -> Finished {
        match *self {}
    }
}
