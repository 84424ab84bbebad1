//! A host of the component whose codex prints what the input says.
//!
//! It keeps the promises of the real host: codex is given only what the grant allows, its output comes
//! in whole lines, and a thread id is kept only if the host knows it. And it holds the component
//! to its own: nothing is asked of a process that is over, and none is left behind.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::LazyLock;

use plexum_openai_provider::Config;
use plexum_openai_provider::framing::Framer;
use plexum_openai_provider::grant::known_threads::{KnownThreads, Opening};
use plexum_openai_provider::grant::{Call, Grant, RequestWords};
use plexum_openai_provider_guest::bindings::codex::{
    Awaited, Exit, ExitStatus, Output, Refusal, RefusalReason, StopCause,
};
use plexum_openai_provider_guest::bindings::codex_server::{
    Conversation, Finished, NotOpened, PromptOptions, Wanted,
};
use plexum_openai_provider_guest::bindings::log::Level;
use plexum_openai_provider_guest::bindings::session::{Entry, Error, Loaded};
use plexum_openai_provider_guest::capability::{Capabilities, Child, Opened, ServerTurn};

use crate::now::now;
use crate::pieces::Pieces;
use crate::turn::STORED;

/// Lines longer than this are left out; the real host has the same limit, larger.
const MAX_LINE_BYTES: usize = 4096;

/// What one process of codex prints, or one turn of it, and how it ends.
#[derive(Clone)]
pub struct Printed<'a> {
    /// Its standard output.
    pub stdout: &'a [u8],
    /// Its end, standard error included.
    pub exit: Exit,
}

/// How the host answers.
pub struct Answers {
    /// What the store holds when the turn begins.
    pub stored: Option<Entry>,
    /// Whether the store can be read, written and put aside.
    pub loads: bool,
    pub saves: bool,
    pub sets_aside: bool,
    /// Which parts of the request the host holds ready for codex.
    pub request: RequestWords,
    /// How many processes can be started.
    pub starts: usize,
    /// How often codex may be started again because the thread is busy.
    pub back_offs: usize,
    /// How many bytes of lines are handed over at most, at a time.
    pub batch: usize,
    /// What a codex that stays does when it is to open a conversation.
    pub server: Server,
    /// Whether it takes the prompt.
    pub takes_prompt: bool,
}

/// What a codex that stays does when it is to open a conversation.
#[derive(Clone, Copy, PartialEq)]
pub enum Server {
    Opens,
    /// There is none.
    Unavailable,
    /// It says why not.
    Refuses,
    Ends,
}

/// A host with a script. Its clones are the same host.
#[derive(Clone)]
pub struct Host<'a>(Rc<Inner<'a>>);

struct Inner<'a> {
    processes: Vec<Printed<'a>>,
    answers: Answers,
    started: Cell<usize>,
    waited_for: Cell<usize>,
    backed_off: Cell<usize>,
    threads: RefCell<KnownThreads>,
    /// Whether a codex that stays has served the turn. After an overflow it counts from zero, in the midst of a turn.
    served: Cell<bool>,
}

impl<'a> Host<'a> {
    /// Each start of codex takes the next of these processes, and the last one again when they are used up.
    pub fn new(processes: Vec<Printed<'a>>, answers: Answers) -> Self {
        let held = answers.stored.as_ref().map(|entry| entry.thread_id.clone());
        Host(Rc::new(Inner {
            processes,
            answers,
            started: Cell::new(0),
            waited_for: Cell::new(0),
            backed_off: Cell::new(0),
            threads: RefCell::new(KnownThreads::new(held)),
            served: Cell::new(false),
        }))
    }

    /// Whether a process has been started whose end nobody has waited for.
    pub fn runs(&self) -> bool {
        self.0.started != self.0.waited_for
    }

    /// Whether a turn's tokens are a part of the thread's.
    pub fn counts_in_totals(&self) -> bool {
        !self.0.served.get()
    }

    /// The next process, or turn; nothing when there are no more.
    fn next(&self) -> Option<Process<'a>> {
        let host = &self.0;
        let nth = host.started.get();
        let printed = host.processes.get(nth).or(host.processes.last());
        let printed = printed.filter(|_| nth < host.answers.starts)?;
        host.started.set(nth + 1);
        Some(Process {
            host: self.clone(),
            framer: RefCell::new(Framer::new(
                Pieces::new(printed.stdout, Vec::new()),
                MAX_LINE_BYTES,
            )),
            opening: RefCell::default(),
            exit: printed.exit.clone(),
            stopped: Cell::new(printed.exit.stopped),
            ended: Cell::new(false),
            waited: Cell::new(false),
        })
    }

    fn end_of(&self, process: &Process<'_>) -> Exit {
        assert!(!process.waited.replace(true), "an end is waited for twice");
        let waited_for = &self.0.waited_for;
        waited_for.set(waited_for.get() + 1);
        Exit {
            stopped: process.stopped.get(),
            ..process.exit.clone()
        }
    }
}

fn stopped() -> Refusal {
    Refusal {
        reason: RefusalReason::Stopped,
        message: "the turn was stopped".into(),
    }
}

/// The grant of the default configuration, which is the one that the component is told.
static GRANT: LazyLock<Grant> = LazyLock::new(|| Grant::new(&Config::default()));

impl<'a> Capabilities for Host<'a> {
    type Child = Process<'a>;
    type ServerTurn = Served<'a>;

    fn spawn(
        &self,
        args: &[String],
        prompt_on_stdin: Option<&str>,
    ) -> Result<Process<'a>, Refusal> {
        assert!(!self.runs(), "two processes at a time");
        let host = &self.0;
        let threads = host.threads.borrow();
        let call = Call {
            prompt_on_stdin: prompt_on_stdin.is_some(),
            stored: threads.held(),
            images: 0..0,
            request: host.answers.request,
        };
        if let Err(refused) = GRANT.check(args, &call) {
            panic!("the component asks for what is not granted: {refused}\n{args:?}");
        }
        self.next().ok_or_else(stopped)
    }

    fn open(&self, wanted: &Wanted) -> Result<Opened<Served<'a>>, NotOpened> {
        assert!(!self.runs(), "two processes at a time");
        let host = &self.0;
        assert_eq!(wanted.model, "codex");
        let is_stored = wanted.conversation == Conversation::Stored;
        let held = host.threads.borrow().held().map(str::to_owned);
        if is_stored && held.as_deref() != Some(STORED) {
            panic!("a conversation is asked for that is not stored");
        }
        assert!(!wanted.instructions || host.answers.request.instructions && !is_stored);
        if host.answers.server == Server::Unavailable {
            return Err(NotOpened::Unavailable(Some("there is none".into())));
        }
        let process = self.next().ok_or_else(|| NotOpened::Refused(stopped()))?;
        match host.answers.server {
            Server::Refuses => return Err(NotOpened::Failed(self.end_of(&process).stderr)),
            Server::Ends => return Err(NotOpened::Ended(self.end_of(&process))),
            Server::Opens | Server::Unavailable => {}
        }
        host.served.set(true);
        host.threads.borrow_mut().opened(STORED);
        Ok(Opened {
            turn: Served {
                process,
                prompted: Cell::new(false),
            },
            thread_id: STORED.into(),
            model: Some("gpt-5.5".into()),
        })
    }

    fn back_off(&self) -> bool {
        let nth = self.0.backed_off.get();
        self.0.backed_off.set(nth + 1);
        nth < self.0.answers.back_offs
    }

    fn load_session(&self) -> Result<Loaded, Error> {
        if self.0.answers.loads {
            Ok(Loaded {
                entry: self.0.answers.stored.clone(),
                foreign: None,
                notices: Vec::new(),
            })
        } else {
            Err(Error::Unreadable("the session cannot be read".into()))
        }
    }

    fn save_session(&self, entry: &Entry) -> Result<Vec<String>, Error> {
        let threads = self.0.threads.borrow();
        let known = threads.check(&entry.thread_id);
        known.map_err(|reason| Error::Denied(reason.into()))?;
        if self.0.answers.saves {
            Ok(Vec::new())
        } else {
            Err(Error::Unreadable("the session cannot be written".into()))
        }
    }

    fn set_session_aside(&self) -> Result<(), Error> {
        assert!(!self.runs(), "a session is put aside while codex uses it");
        if self.0.answers.sets_aside {
            Ok(())
        } else {
            Err(Error::Unreadable("the session cannot be put aside".into()))
        }
    }

    fn log(&self, _: Level, _: &str) {}
}

/// A process of that codex.
pub struct Process<'a> {
    host: Host<'a>,
    framer: RefCell<Framer<Pieces<'a>>>,
    opening: RefCell<Opening>,
    exit: Exit,
    stopped: Cell<Option<StopCause>>,
    ended: Cell<bool>,
    waited: Cell<bool>,
}

impl Child for Process<'_> {
    fn lines(&self, max_bytes: u32, _: Awaited) -> Output {
        assert!(!self.ended.get(), "lines are asked for behind the end");
        let max_bytes = self.host.0.answers.batch.min(max_bytes as usize);
        let lines = now(self.framer.borrow_mut().lines(max_bytes));
        let lines = lines
            .expect("the reader never waits")
            .expect("nor does it fail");
        self.ended.set(lines.is_end());
        let mut threads = self.host.0.threads.borrow_mut();
        threads.hear(self.opening.borrow_mut().of(&lines.text));
        Output {
            text: lines.text,
            skipped: lines.skipped,
        }
    }

    fn wait(&self) -> Exit {
        assert!(
            self.ended.get(),
            "an end is waited for before the output is over"
        );
        self.host.end_of(self)
    }

    fn terminate(&self) {
        self.framer.borrow_mut().end();
        self.stopped.set(Some(StopCause::Terminated));
    }
}

/// A turn of a codex that stays.
pub struct Served<'a> {
    process: Process<'a>,
    prompted: Cell<bool>,
}

impl ServerTurn for Served<'_> {
    fn prompt(&self, _: &str, images: &[u32], options: PromptOptions) -> Result<(), NotOpened> {
        assert!(!self.prompted.replace(true), "a second prompt");
        assert!(images.is_empty(), "the request has no images");
        let answers = &self.process.host.0.answers;
        assert!(answers.request.effort || !options.effort);
        assert!(answers.request.output_schema || !options.output_schema);
        if answers.takes_prompt {
            return Ok(());
        }
        Err(NotOpened::Failed(self.process.exit.stderr.clone()))
    }

    fn lines(&self, max_bytes: u32, awaiting: Awaited) -> Output {
        assert!(self.prompted.get(), "lines of a turn that has not begun");
        self.process.lines(max_bytes, awaiting)
    }

    fn interrupt(&self) {
        self.process.terminate();
    }

    fn finish(&self) -> Finished {
        let exit = self.process.host.end_of(&self.process);
        Finished {
            status: (exit.status != ExitStatus::Code(0)).then_some(exit.status),
            stopped: exit.stopped,
            stderr: exit.stderr,
            left_behind: exit.left_behind,
        }
    }
}

/// An exit, written as `1`, or `s9` for a signal, a letter if the host stopped the process, `l` if it left one
/// behind, and `x` if its output was cut.
pub fn exit(written: &[u8], stderr: &[u8]) -> Exit {
    let has = |letter| written.contains(&letter);
    let number = crate::fields::number(written, 0) as i32;
    let causes = [
        (b'c', StopCause::Cancelled),
        (b'b', StopCause::StartTimeout),
        (b'i', StopCause::IdleTimeout),
        (b't', StopCause::TurnTimeout),
        (b'o', StopCause::OutputLimit),
        (b'g', StopCause::Lingering),
    ];
    Exit {
        status: if has(b's') {
            ExitStatus::Signal(number)
        } else {
            ExitStatus::Code(number)
        },
        stopped: causes
            .into_iter()
            .find_map(|(letter, cause)| has(letter).then_some(cause)),
        stderr: String::from_utf8_lossy(stderr).into_owned(),
        left_behind: u32::from(has(b'l')),
        output_cut: has(b'x'),
    }
}
