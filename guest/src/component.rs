//! The exports of the world, and the imports behind [`Capabilities`].

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::bindings::codex::{self, Awaited, Exit, Output, Refusal};
use crate::bindings::codex_server::{self, Finished, NotOpened, PromptOptions, Wanted};
use crate::bindings::log::{self, Level};
use crate::bindings::session::{self, Entry};
use crate::bindings::settings;
use crate::bindings::turns::{
    Description, Event, Failure, Guest, GuestTurn, Request, Turn as TurnHandle,
};
use crate::capability::{Capabilities, Child, Opened, ServerTurn};
use crate::describe::describe;
use crate::turn::Turn;

struct Component;

impl Guest for Component {
    type Turn = RunningTurn;

    fn describe() -> Description {
        describe(settings::get())
    }
}

/// The exported resource.
struct RunningTurn(RefCell<Turn<Imports>>);

impl GuestTurn for RunningTurn {
    fn start(request: Request) -> Result<TurnHandle, Failure> {
        let turn = Turn::start(Imports, settings::get(), request)?;
        Ok(TurnHandle::new(RunningTurn(RefCell::new(turn))))
    }

    fn next(&self) -> Vec<Event> {
        // The component model forbids a second call while one is running.
        self.0.borrow_mut().next_events()
    }

    fn cancel(&self) {
        self.0.borrow_mut().cancel();
    }
}

/// The world's imports.
struct Imports;

impl Capabilities for Imports {
    type Child = codex::Child;
    type ServerTurn = codex_server::Turn;

    fn spawn(
        &self,
        args: &[String],
        prompt_on_stdin: Option<&str>,
    ) -> Result<codex::Child, Refusal> {
        codex::spawn(args, prompt_on_stdin)
    }

    fn open(&self, wanted: &Wanted) -> Result<Opened<codex_server::Turn>, NotOpened> {
        let codex_server::Opened {
            turn,
            thread_id,
            model,
        } = codex_server::open(wanted)?;
        Ok(Opened {
            turn,
            thread_id,
            model,
        })
    }

    fn back_off(&self) -> bool {
        codex::back_off()
    }

    fn load_session(&self) -> Result<session::Loaded, session::Error> {
        session::load()
    }

    fn save_session(&self, entry: &Entry) -> Result<Vec<String>, session::Error> {
        session::save(entry)
    }

    fn set_session_aside(&self) -> Result<(), session::Error> {
        session::set_aside()
    }

    fn log(&self, level: Level, message: &str) {
        log::write(level, message);
    }
}

impl Child for codex::Child {
    fn lines(&self, max_bytes: u32, awaiting: Awaited) -> Output {
        codex::Child::lines(self, max_bytes, awaiting)
    }

    fn wait(&self) -> Exit {
        codex::Child::wait(self)
    }

    fn terminate(&self) {
        codex::Child::terminate(self);
    }
}

impl ServerTurn for codex_server::Turn {
    fn prompt(&self, text: &str, images: &[u32], options: PromptOptions) -> Result<(), NotOpened> {
        codex_server::Turn::prompt(self, text, images, options)
    }

    fn lines(&self, max_bytes: u32, awaiting: Awaited) -> Output {
        codex_server::Turn::lines(self, max_bytes, awaiting)
    }

    fn interrupt(&self) {
        codex_server::Turn::interrupt(self);
    }

    fn finish(&self) -> Finished {
        codex_server::Turn::finish(self)
    }
}

crate::bindings::export!(Component with_types_in crate::bindings);
