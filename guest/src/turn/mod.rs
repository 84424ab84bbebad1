//! One turn, from the request to its end.
//!
//! This file checks the request and starts codex; `begin` decides about the conversation, `process` is what runs, `run` takes
//! what it reports, and `end` deals with how the turn ends.

mod begin;
mod end;
mod process;
mod run;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use crate::bindings::codex::{Refusal, RefusalReason};
use crate::bindings::codex_server::{Conversation, NotOpened, PromptOptions, Wanted};
use crate::bindings::log::Level;
use crate::bindings::settings::{Settings, Transport};
use crate::bindings::turns::{Event, Failure, FailureKind, NoticeKind, Request, StopReason};
use crate::capability::{Capabilities, ServerTurn as _};
use crate::conversation::session::Beginning;
use crate::conversation::thread::Thread;
use crate::failure;
use crate::notice::notice;
use crate::request::Asked;
use crate::request::replay::Reason;
use crate::transport::app_server::Reader;
use crate::transport::exec::argv;
use crate::transport::stderr::last_words;

use end::{Next, conclude, failed, not_begun};
use process::Process;
use run::{Progress, Run};

/// A turn under way.
pub struct Turn<C: Capabilities> {
    host: C,
    settings: Settings,
    asked: Asked,
    /// What is said of the request, once the conversation is open.
    notices: Vec<Event>,
    /// Whether a codex that stays cannot serve this turn.
    exec_only: bool,
    state: State<C>,
}

enum State<C: Capabilities> {
    /// Nothing has run yet.
    Ready,
    /// Codex is running, or has just ended.
    Running(Box<Run<C>>),
    /// It was cancelled before anything ran.
    Cancelled,
    /// `message_end` has been handed out.
    Over,
}

impl<C: Capabilities> Turn<C> {
    /// Checks the request. Nothing runs before the first [`Turn::next_events`].
    pub fn start(host: C, settings: Settings, request: Request) -> Result<Self, Failure> {
        let mut notices = Vec::new();
        let asked = Asked::read(request, &settings, &mut notices).map_err(failure::unusable)?;
        Ok(Turn {
            host,
            settings,
            asked,
            notices,
            exec_only: false,
            state: State::Ready,
        })
    }

    /// The next events: at least one, or none when the turn is over.
    pub fn next_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while events.is_empty() {
            self.state = match mem::replace(&mut self.state, State::Over) {
                State::Ready => self.begin(&mut events),
                State::Running(run) => self.advance(run, &mut events),
                State::Cancelled => {
                    let failure = failure::failure(FailureKind::Killed, None);
                    events.push(failed(StopReason::Aborted, failure));
                    State::Over
                }
                State::Over => break,
            };
        }
        self.say_notices(&mut events);
        events
    }

    /// Asks the turn to end early. What is left is said by [`Turn::next_events`].
    pub fn cancel(&mut self) {
        match &mut self.state {
            State::Ready => self.state = State::Cancelled,
            State::Running(run) => run.process.stop(),
            State::Cancelled | State::Over => {}
        }
    }

    /// Decides about the conversation and starts codex.
    fn begin(&mut self, events: &mut Vec<Event>) -> State<C> {
        let (settings, asked) = (&self.settings, &self.asked);
        match begin::decide(&self.host, settings, asked, &mut self.notices) {
            Ok(beginning) => {
                let replay = begin::replay(&beginning, settings, asked);
                self.start_codex(beginning, replay, events)
            }
            Err(error) => {
                events.push(failed(StopReason::Error, failure::session(error)));
                State::Over
            }
        }
    }

    /// Puts what is said of the request behind the first event.
    fn say_notices(&mut self, events: &mut Vec<Event>) {
        let opened = |event: &Event| matches!(event, Event::MessageStart(_));
        if let Some(at) = events.iter().position(opened) {
            events.splice(at + 1..at + 1, self.notices.drain(..));
        }
    }

    /// Has codex begin. With a reason, it is given what was said before.
    fn start_codex(
        &mut self,
        beginning: Beginning,
        replay: Option<Reason>,
        events: &mut Vec<Event>,
    ) -> State<C> {
        if self.exec_only || self.settings.transport == Transport::Exec {
            self.spawn(beginning, replay, events)
        } else {
            self.open(beginning, replay, events)
        }
    }

    /// Opens the conversation in a codex that stays, and gives it the prompt.
    fn open(
        &mut self,
        beginning: Beginning,
        replay: Option<Reason>,
        events: &mut Vec<Event>,
    ) -> State<C> {
        let mut thread = Thread::new(beginning, self.asked.instructions_digest());
        let is_new = thread.asked_for().is_none();
        let wanted = Wanted {
            conversation: if is_new {
                Conversation::New
            } else {
                Conversation::Stored
            },
            model: self.asked.model.id.clone(),
            instructions: is_new && self.asked.instructions.is_some(),
        };
        let opened = match self.host.open(&wanted) {
            Ok(opened) => opened,
            Err(why) => return self.not_opened(why, thread, replay, events),
        };
        let text = self.asked.text(replay, &mut self.notices);
        let options = PromptOptions {
            effort: self.asked.effort,
            output_schema: self.asked.output_schema,
        };
        let begun = opened
            .turn
            .prompt(&text, &self.asked.prompt.images, options);
        if let Err(why) = begun {
            opened.turn.finish();
            return self.not_opened(why, thread, replay, events);
        }
        let reader = Box::new(Reader::new(
            opened.thread_id.clone(),
            thread.totals_before(),
        ));
        // Not before the prompt: until then codex has no record of a new thread.
        let kept = thread.opened(&self.host, opened.thread_id, opened.model, events);
        let run = Box::new(Run::new(Process::Server(opened.turn, reader), thread));
        match kept {
            Ok(()) => State::Running(run),
            Err(failure) => {
                run.stop(events);
                events.push(failed(StopReason::Error, failure));
                State::Over
            }
        }
    }

    /// A codex that stays has not begun the turn.
    fn not_opened(
        &mut self,
        why: NotOpened,
        thread: Thread,
        replay: Option<Reason>,
        events: &mut Vec<Event>,
    ) -> State<C> {
        let (failure, stopped) = match why {
            NotOpened::Unavailable(why) => {
                let said = why.iter();
                self.notices
                    .extend(said.map(|why| notice(NoticeKind::Warning, why)));
                self.exec_only = true;
                return self.spawn(thread.into_beginning(), replay, events);
            }
            NotOpened::Refused(refusal) => return refused(refusal, events),
            NotOpened::Failed(words) => (failure::codex_refused(&words), None),
            NotOpened::Ended(exit) => (
                failure::without_report(&exit, last_words(&exit.stderr)),
                exit.stopped,
            ),
        };
        let (policy, has_history) = (self.settings.lost_session, self.asked.has_history());
        let host = &self.host;
        match not_begun(host, policy, has_history, thread, failure, stopped, events) {
            Next::Over => State::Over,
            Next::Again { beginning, replay } => self.start_codex(beginning, replay, events),
        }
    }

    /// Starts `codex exec`. With a reason, it is given what was said before.
    fn spawn(
        &mut self,
        beginning: Beginning,
        replay: Option<Reason>,
        events: &mut Vec<Event>,
    ) -> State<C> {
        let thread = Thread::new(beginning, self.asked.instructions_digest());
        let text = self.asked.text(replay, &mut self.notices);
        let wanted = argv::Wanted {
            thread_id: thread.asked_for(),
            // Codex keeps those that a conversation began with.
            instructions: thread.asked_for().is_none() && self.asked.instructions.is_some(),
            effort: self.asked.effort,
            output_schema: self.asked.output_schema,
            images: &self.asked.prompt.images,
        };
        let call = argv::plan(&self.settings, &self.asked.model, wanted, &text);
        let spawned = match self.host.spawn(&call.args, call.prompt_on_stdin) {
            // How much fits beside the environment, only a start tells.
            Err(refusal)
                if refusal.reason == RefusalReason::TooLong && call.prompt_on_stdin.is_none() =>
            {
                let message = "the prompt does not fit the arguments, and goes on standard input";
                self.host.log(Level::Info, message);
                let call = call.with_prompt_on_stdin(&text);
                self.host.spawn(&call.args, call.prompt_on_stdin)
            }
            spawned => spawned,
        };
        match spawned {
            Ok(child) => State::Running(Box::new(Run::new(Process::Exec(child), thread))),
            Err(refusal) => refused(refusal, events),
        }
    }

    /// Takes the next lines, or the end.
    fn advance(&mut self, mut run: Box<Run<C>>, events: &mut Vec<Event>) -> State<C> {
        match run.advance(&self.host, events) {
            Progress::More => State::Running(run),
            Progress::GiveUp(failure) => {
                run.stop(events);
                events.push(failed(StopReason::Error, failure));
                State::Over
            }
            Progress::Ended => {
                let policy = self.settings.lost_session;
                let has_history = self.asked.has_history();
                match conclude(&self.host, policy, has_history, *run, events) {
                    Next::Over => State::Over,
                    Next::Again { beginning, replay } => {
                        self.start_codex(beginning, replay, events)
                    }
                }
            }
        }
    }
}

/// The host has refused to start codex.
fn refused<C: Capabilities>(refusal: Refusal, events: &mut Vec<Event>) -> State<C> {
    let stop_reason = match refusal.reason {
        RefusalReason::Stopped => StopReason::Aborted,
        _ => StopReason::Error,
    };
    events.push(failed(stop_reason, failure::refused(refusal)));
    State::Over
}
