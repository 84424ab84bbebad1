//! A host of the component whose codex prints what it is told to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use plexum_openai_provider::framing::{Framer, Lines};
use plexum_openai_provider_guest::bindings::codex::{Awaited, Exit, Output, Refusal};
use plexum_openai_provider_guest::bindings::codex_server::{
    Finished, NotOpened, PromptOptions, Wanted,
};
use plexum_openai_provider_guest::bindings::log::Level;
use plexum_openai_provider_guest::bindings::session::{Entry, Error, Loaded};
use plexum_openai_provider_guest::bindings::settings::{
    ChangedInstructions, Instructions, LostSession, Model, PromptTransport, Sandbox, Settings,
    Transport,
};
use plexum_openai_provider_guest::bindings::turns::{
    Content, Event, Message, Options, Request, Role,
};
use plexum_openai_provider_guest::capability::{Capabilities, Child, Opened, ServerTurn};
use plexum_openai_provider_guest::turn::Turn;

/// The thread in the recorded outputs, and the one that is stored.
pub const THREAD: &str = "01a20000-0000-7000-8000-000000000001";

/// A codex that prints these bytes each time it is started, or in each of its turns.
#[derive(Clone)]
struct Printing {
    batches: Rc<Vec<Output>>,
    exit: Exit,
    stored: Rc<RefCell<Option<Entry>>>,
}

struct Printed {
    batches: Rc<Vec<Output>>,
    next: Cell<usize>,
    exit: Exit,
}

impl Printing {
    fn printed(&self) -> Printed {
        Printed {
            batches: self.batches.clone(),
            next: Cell::new(0),
            exit: self.exit.clone(),
        }
    }
}

impl Capabilities for Printing {
    type Child = Printed;
    type ServerTurn = Printed;

    fn spawn(&self, _: &[String], _: Option<&str>) -> Result<Printed, Refusal> {
        Ok(self.printed())
    }

    fn open(&self, _: &Wanted) -> Result<Opened<Printed>, NotOpened> {
        Ok(Opened {
            turn: self.printed(),
            thread_id: THREAD.into(),
            model: None,
        })
    }

    fn back_off(&self) -> bool {
        false
    }

    fn load_session(&self) -> Result<Loaded, Error> {
        Ok(Loaded {
            entry: self.stored.borrow().clone(),
            foreign: None,
            notices: Vec::new(),
        })
    }

    fn save_session(&self, entry: &Entry) -> Result<Vec<String>, Error> {
        self.stored.replace(Some(entry.clone()));
        Ok(Vec::new())
    }

    fn set_session_aside(&self) -> Result<(), Error> {
        self.stored.replace(None);
        Ok(())
    }

    fn log(&self, _: Level, _: &str) {}
}

impl Child for Printed {
    fn lines(&self, _: u32, _: Awaited) -> Output {
        let nth = self.next.replace(self.next.get() + 1);
        self.batches.get(nth).cloned().unwrap_or(Output {
            text: String::new(),
            skipped: Vec::new(),
        })
    }

    fn wait(&self) -> Exit {
        self.exit.clone()
    }

    fn terminate(&self) {}
}

impl ServerTurn for Printed {
    fn prompt(&self, _: &str, _: &[u32], _: PromptOptions) -> Result<(), NotOpened> {
        Ok(())
    }

    fn lines(&self, max_bytes: u32, awaiting: Awaited) -> Output {
        Child::lines(self, max_bytes, awaiting)
    }

    fn interrupt(&self) {}

    fn finish(&self) -> Finished {
        Finished {
            status: Some(self.exit.status),
            stopped: self.exit.stopped,
            stderr: self.exit.stderr.clone(),
            left_behind: self.exit.left_behind,
        }
    }
}

/// The real host's framing, in batches of about this size.
fn batches(bytes: &[u8], size: usize) -> Vec<Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut framer = Framer::new(bytes, 64 * 1024);
        let mut batches = Vec::new();
        loop {
            let Lines { text, skipped } = framer.lines(size).await.unwrap();
            if text.is_empty() && skipped.is_empty() {
                return batches;
            }
            batches.push(Output { text, skipped });
        }
    })
}

/// All events of a turn over this output.
pub fn turn(
    transport: Transport,
    bytes: &[u8],
    size: usize,
    resumed: bool,
    exit: Exit,
) -> Vec<Event> {
    let entry = Entry {
        thread_id: THREAD.into(),
        totals: None,
        instructions: None,
    };
    let host = Printing {
        batches: Rc::new(batches(bytes, size)),
        exit,
        stored: Rc::new(RefCell::new(resumed.then_some(entry))),
    };
    let settings = Settings {
        models: vec![Model {
            id: "codex".into(),
            args: vec![],
            display_name: None,
            context_window: None,
            images: true,
            efforts: vec![],
        }],
        extra_args: vec![],
        sandbox: Sandbox::DangerFullAccess,
        transport,
        prompt: PromptTransport::Automatic,
        lost_session: LostSession::Replay,
        instructions: Instructions::Developer,
        changed_instructions: ChangedInstructions::Keep,
    };
    let messages = vec![Message {
        role: Role::User,
        content: vec![Content::Text("hello".into())],
    }];
    let mut turn = Turn::start(
        host,
        settings,
        Request {
            model: None,
            session: None,
            instructions: None,
            messages,
            options: Options {
                effort: None,
                output_schema: None,
            },
        },
    )
    .unwrap();
    let mut events = Vec::new();
    loop {
        let more = turn.next_events();
        if more.is_empty() {
            return events;
        }
        events.extend(more);
    }
}
