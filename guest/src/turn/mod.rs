//! One turn, from the request to its end.
//!
//! This file checks the request and starts codex; `run` takes what one process of codex reports, and `end` deals with
//! how the turn ends.

mod end;
mod run;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use crate::bindings::codex::RefusalReason;
use crate::bindings::provider::{Event, Failure, Request, StopReason};
use crate::bindings::settings::{ModelArgs, Settings};
use crate::capability::Capabilities;
use crate::conversation::session::{self, Beginning};
use crate::conversation::thread::Thread;
use crate::failure;
use crate::request::model;
use crate::request::prompt::{self, Prompt};
use crate::transport::exec::argv;

use end::{Next, conclude, failed};
use run::{Progress, Run};

/// A turn under way.
pub struct Turn<C: Capabilities> {
    host: C,
    settings: Settings,
    model: ModelArgs,
    prompt: Prompt,
    state: State<C::Child>,
}

enum State<P> {
    /// Nothing has run yet.
    Ready,
    /// Codex is running, or has just ended.
    Running(Box<Run<P>>),
    /// `message_end` has been handed out.
    Over,
}

impl<C: Capabilities> Turn<C> {
    /// Checks the request. Nothing runs before the first [`Turn::next_events`].
    pub fn start(host: C, settings: Settings, request: Request) -> Result<Self, Failure> {
        let model =
            model::choose(&settings, request.model.as_deref()).map_err(failure::unusable)?;
        let prompt = prompt::find(request.messages).map_err(failure::unusable)?;
        prompt::check_length(&prompt.text).map_err(failure::unusable)?;
        Ok(Turn {
            host,
            settings,
            model,
            prompt,
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
                State::Over => break,
            };
        }
        events
    }

    /// Decides about the session and starts codex.
    fn begin(&self, events: &mut Vec<Event>) -> State<C::Child> {
        let beginning = self.host.load_session().and_then(|stored| {
            let beginning = session::decide(stored);
            if let Beginning::Fresh { replaces: Some(_) } = &beginning {
                self.host.set_session_aside()?;
            }
            Ok(beginning)
        });
        match beginning {
            Ok(beginning) => self.spawn(beginning, &self.prompt.text, events),
            Err(error) => {
                let failure = failure::session_unreadable(&error);
                events.push(failed(StopReason::Error, failure));
                State::Over
            }
        }
    }

    fn spawn(&self, beginning: Beginning, text: &str, events: &mut Vec<Event>) -> State<C::Child> {
        let thread = Thread::new(beginning);
        let call = argv::plan(
            &self.settings,
            &self.model,
            thread.asked_for(),
            &self.prompt.images,
            text,
        );
        match self.host.spawn(&call.args, call.prompt_on_stdin) {
            Ok(child) => State::Running(Box::new(Run::new(child, thread))),
            Err(refusal) => {
                let stop_reason = match refusal.reason {
                    RefusalReason::Stopped => StopReason::Aborted,
                    _ => StopReason::Error,
                };
                events.push(failed(stop_reason, failure::refused(refusal)));
                State::Over
            }
        }
    }

    /// Takes the next lines, or the end.
    fn advance(&self, mut run: Box<Run<C::Child>>, events: &mut Vec<Event>) -> State<C::Child> {
        match run.advance(&self.host, &self.model.id, events) {
            Progress::More => State::Running(run),
            Progress::GiveUp(failure) => {
                run.stop(events);
                events.push(failed(StopReason::Error, failure));
                State::Over
            }
            Progress::Ended => {
                let policy = self.settings.lost_session;
                match conclude(&self.host, policy, &self.prompt, *run, events) {
                    Next::Over => State::Over,
                    Next::Again { beginning, text } => self.spawn(beginning, &text, events),
                }
            }
        }
    }
}
