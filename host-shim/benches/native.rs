//! The component's code as it is without a sandbox: the same crate, compiled for this machine.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Cursor;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use plexum_openai_provider::framing::{Framer, MAX_LINE_BYTES};
use plexum_openai_provider_guest::bindings::codex::{Awaited, Exit, ExitStatus, Output, Refusal};
use plexum_openai_provider_guest::bindings::codex_server::{NotOpened, Wanted};
use plexum_openai_provider_guest::bindings::log::Level;
use plexum_openai_provider_guest::bindings::session::{Entry, Error, Loaded};
use plexum_openai_provider_guest::bindings::settings::{
    ChangedInstructions, Instructions, LostSession, Model, PromptTransport, Sandbox, Settings,
    Transport,
};
use plexum_openai_provider_guest::bindings::turns::{Content, Message, Options, Request, Role};
use plexum_openai_provider_guest::capability::{Capabilities, Child, Opened};
use plexum_openai_provider_guest::turn::Turn;

/// Translates what a codex printed; how long that took, and how many events it gave.
pub fn translate(output: &Arc<str>) -> (Duration, usize) {
    let mut turn = Turn::start(Host(Arc::clone(output)), settings(), request()).unwrap();
    let began = Instant::now();
    let mut count = 0;
    loop {
        let events = turn.next_events();
        if events.is_empty() {
            return (began.elapsed(), count);
        }
        count += events.len();
    }
}

/// Frames the text as the host does.
struct Host(Arc<str>);

struct Printed(RefCell<Framer<Cursor<Text>>>);

struct Text(Arc<str>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Capabilities for Host {
    type Child = Printed;
    type ServerTurn = Infallible;

    fn spawn(&self, _: &[String], _: Option<&str>) -> Result<Printed, Refusal> {
        let text = Cursor::new(Text(Arc::clone(&self.0)));
        Ok(Printed(RefCell::new(Framer::new(text, MAX_LINE_BYTES))))
    }

    fn open(&self, _: &Wanted) -> Result<Opened<Infallible>, NotOpened> {
        Err(NotOpened::Unavailable(None))
    }

    fn back_off(&self) -> bool {
        false
    }

    fn load_session(&self) -> Result<Loaded, Error> {
        Ok(Loaded {
            entry: None,
            foreign: None,
            notices: Vec::new(),
        })
    }

    fn save_session(&self, _: &Entry) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    fn set_session_aside(&self) -> Result<(), Error> {
        Ok(())
    }

    fn log(&self, _: Level, _: &str) {}
}

impl Child for Printed {
    fn lines(&self, max_bytes: u32, _: Awaited) -> Output {
        let mut framer = self.0.borrow_mut();
        let lines = pin!(framer.lines(max_bytes as usize));
        match lines.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(lines) => {
                let lines = lines.unwrap();
                Output {
                    text: lines.text,
                    skipped: lines.skipped,
                }
            }
            Poll::Pending => panic!("what is in memory is always there"),
        }
    }

    fn wait(&self) -> Exit {
        Exit {
            status: ExitStatus::Code(0),
            stopped: None,
            stderr: String::new(),
            left_behind: 0,
            output_cut: false,
        }
    }

    fn terminate(&self) {}
}

fn settings() -> Settings {
    Settings {
        models: vec![Model {
            id: "codex".into(),
            args: Vec::new(),
            display_name: None,
            context_window: None,
            images: true,
            efforts: Vec::new(),
        }],
        extra_args: Vec::new(),
        sandbox: Sandbox::DangerFullAccess,
        transport: Transport::Exec,
        prompt: PromptTransport::Automatic,
        lost_session: LostSession::Replay,
        instructions: Instructions::Developer,
        changed_instructions: ChangedInstructions::Keep,
    }
}

fn request() -> Request {
    Request {
        messages: vec![Message {
            role: Role::User,
            content: vec![Content::Text("hello".into())],
        }],
        model: None,
        session: None,
        instructions: None,
        options: Options {
            effort: None,
            output_schema: None,
        },
    }
}
