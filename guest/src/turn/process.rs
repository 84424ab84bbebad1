//! What runs in a turn: a process of its own, or a turn of a codex that stays.

use alloc::boxed::Box;

use crate::bindings::codex::{Awaited, Exit, ExitStatus, Output};
use crate::bindings::turns::Usage;
use crate::capability::{Capabilities, Child as _, ServerTurn as _};
use crate::transport::exec::line;
use crate::transport::{Malformed, Said, app_server};

/// What runs in a turn, and how what it says is read.
pub enum Process<C: Capabilities> {
    /// `codex exec`.
    Exec(C::Child),
    /// A turn of `codex app-server`.
    Server(C::ServerTurn, Box<app_server::Reader>),
}

impl<C: Capabilities> Process<C> {
    /// The next lines, or none when there are no more.
    pub fn lines(&self, max_bytes: u32, awaiting: Awaited) -> Output {
        match self {
            Process::Exec(child) => child.lines(max_bytes, awaiting),
            Process::Server(turn, _) => turn.lines(max_bytes, awaiting),
        }
    }

    /// Asks it to end.
    pub fn stop(&self) {
        match self {
            Process::Exec(child) => child.terminate(),
            Process::Server(turn, _) => turn.interrupt(),
        }
    }

    /// Waits until nothing of the turn is left. A codex that stays counts as one that ended well.
    pub fn wait(&self) -> Exit {
        match self {
            Process::Exec(child) => child.wait(),
            Process::Server(turn, _) => {
                let finished = turn.finish();
                Exit {
                    status: finished.status.unwrap_or(ExitStatus::Code(0)),
                    stopped: finished.stopped,
                    stderr: finished.stderr,
                    left_behind: finished.left_behind,
                    output_cut: false,
                }
            }
        }
    }

    /// Whether it gives texts piece by piece, as they are written.
    pub fn streams(&self) -> bool {
        matches!(self, Process::Server(..))
    }

    /// The thread's totals, where codex has said them apart from the end of the turn.
    pub fn totals(&self) -> Option<Usage> {
        match self {
            Process::Exec(_) => None,
            Process::Server(_, reader) => reader.totals(),
        }
    }

    /// Reads a line, without its line feed. Nothing if it says nothing of this turn.
    pub fn read<'a>(&mut self, line: &'a str) -> Result<Option<Said<'a>>, Malformed> {
        match self {
            Process::Exec(_) => line::read(line).map(Some),
            Process::Server(_, reader) => reader.read(line),
        }
    }

    /// What stands before an event in a line that is none by itself, and the event. Only a program that starts codex writes
    /// such lines, so there is none from a codex that stays.
    pub fn event_behind<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        match self {
            Process::Exec(_) => line::event_behind(line),
            Process::Server(..) => None,
        }
    }
}
