//! One turn, from the request to its end.
//!
//! This file starts codex and takes its lines; `thread` deals with the conversation that codex opens, and
//! `end` with how the turn ends.

mod end;
mod thread;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use crate::bindings::codex::{Awaited, RefusalReason};
use crate::bindings::log::Level;
use crate::bindings::provider::{Event, Failure, FailureKind, NoticeKind, Request, StopReason};
use crate::bindings::session::Totals;
use crate::bindings::settings::{ModelArgs, Settings};
use crate::capability::{Capabilities, Child};
use crate::conversation::session::{self, Beginning};
use crate::conversation::{thread_id, usage};
use crate::failure;
use crate::request::model;
use crate::request::prompt::{self, Prompt};
use crate::translate::{self, Translator};
use crate::transport::exec::argv;
use crate::transport::exec::line::CodexEvent;

use end::{end_in, failed, unreadable};

/// How much output to take at a time: enough to make a crossing cheap, little enough
/// to keep memory small.
const BATCH_BYTES: u32 = 64 * 1024;

/// How often codex may say that it waits for the network before that is the end. Its pauses
/// double, so this is about three quarters of a minute.
const MAX_NETWORK_WAITS: u32 = 4;

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

/// One process of codex, and what it has told so far.
struct Run<P> {
    child: P,
    beginning: Beginning,
    translator: Translator,
    /// The thread that codex opened.
    thread_id: Option<String>,
    /// The totals before this turn, while they are known to be true.
    baseline: Option<Totals>,
    /// Whether the store may still hold totals that this turn makes untrue.
    stored_totals: bool,
    /// The lines that were no events: how many, and the first.
    malformed: u64,
    first_malformed: Option<String>,
}

/// A reason to stop codex and end the turn at once.
struct GiveUp(Failure);

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
        let beginning = match self.host.load_session() {
            Ok(stored) => session::decide(stored),
            Err(error) => return end_in(unreadable(&error), events),
        };
        if let Beginning::Fresh { replaces: Some(_) } = &beginning
            && let Err(error) = self.host.set_session_aside()
        {
            return end_in(unreadable(&error), events);
        }
        self.spawn(beginning, &self.prompt.text, events)
    }

    fn spawn(&self, beginning: Beginning, text: &str, events: &mut Vec<Event>) -> State<C::Child> {
        let (thread_id, baseline) = match &beginning {
            Beginning::Fresh { .. } => (None, Some(usage::ZERO)),
            Beginning::Resume(entry) => (Some(entry.thread_id.as_str()), entry.totals),
        };
        let stored_totals = thread_id.is_some() && baseline.is_some();
        let on_stdin = prompt::goes_on_stdin(text, self.settings.prompt);
        let word = if on_stdin { "-" } else { text };
        let args = argv::plan(
            &self.settings,
            &self.model,
            thread_id,
            &self.prompt.images,
            word,
        );
        match self.host.spawn(&args, on_stdin.then_some(text)) {
            Ok(child) => State::Running(Box::new(Run {
                child,
                beginning,
                translator: Translator::default(),
                thread_id: None,
                baseline,
                stored_totals,
                malformed: 0,
                first_malformed: None,
            })),
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
        let awaiting = if run.translator.outcome().is_some() {
            Awaited::End
        } else if run.translator.tool_is_running() {
            Awaited::Tool
        } else {
            Awaited::Model
        };
        let output = run.child.lines(BATCH_BYTES, awaiting);
        if output.text.is_empty() && output.skipped.is_empty() {
            return self.conclude(run, events);
        }
        for bytes in output.skipped {
            let message = format!(
                "codex printed a line of {bytes} bytes, which is longer than the limit; it was left out."
            );
            events.push(translate::notice(NoticeKind::LineSkipped, message));
        }
        for line in lines(&output.text) {
            if let Err(GiveUp(failure)) = self.take_line(&mut run, line, events) {
                return Self::give_up(*run, failure, events);
            }
        }
        State::Running(run)
    }

    /// Stops codex and ends the turn when it is gone, so that the next one finds the thread free.
    fn give_up(
        mut run: Run<C::Child>,
        failure: Failure,
        events: &mut Vec<Event>,
    ) -> State<C::Child> {
        run.child.terminate();
        loop {
            let rest = run.child.lines(BATCH_BYTES, Awaited::End);
            if rest.text.is_empty() && rest.skipped.is_empty() {
                break;
            }
        }
        run.child.wait();
        run.translator.close_open_tools(events);
        end_in(failure, events)
    }

    fn take_line(
        &self,
        run: &mut Run<C::Child>,
        line: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), GiveUp> {
        if run.translator.outcome().is_some() {
            let message = format!("codex printed after the end of the turn: {line}");
            self.host.log(Level::Debug, &message);
            return Ok(());
        }
        match CodexEvent::parse(line) {
            Ok(CodexEvent::ThreadStarted { thread_id }) => {
                if !thread_id::is_plain(&thread_id) {
                    let shown = failure::excerpt(&thread_id);
                    let said = format!("codex named its thread `{shown}`, which is no id");
                    let failure = failure::failure(FailureKind::Protocol, Some(&said));
                    return Err(GiveUp(failure));
                }
                self.thread_started(run, thread_id, events)?;
            }
            Ok(CodexEvent::TurnStarted) => run.translator.turn_started(events),
            Ok(CodexEvent::TurnCompleted { totals }) => {
                run.translator.turn_completed(totals, events);
            }
            Ok(CodexEvent::TurnFailed { message }) => run.translator.turn_failed(message),
            Ok(CodexEvent::Error { message }) => {
                run.translator.error(message, events);
                if run.translator.network_waits() >= MAX_NETWORK_WAITS {
                    let said = run.translator.pending_error();
                    return Err(GiveUp(failure::failure(FailureKind::Network, said)));
                }
            }
            Ok(CodexEvent::Item { phase, item }) => {
                if item.text("type") != Some("error") {
                    self.model_answered(run);
                }
                run.translator.item(phase, item, events);
            }
            Ok(CodexEvent::Unknown { kind }) => {
                self.host
                    .log(Level::Debug, &format!("unknown event: {line}"));
                run.translator.unknown(&kind, events);
            }
            Err(_) if line.trim().is_empty() => {}
            Err(malformed) => {
                let message = format!(
                    "codex printed a line that is no event ({}): {line}",
                    malformed.reason
                );
                self.host.log(Level::Debug, &message);
                run.malformed += 1;
                if run.first_malformed.is_none() {
                    let shown = failure::excerpt(line);
                    let message = format!(
                        "codex printed a line that is no event ({}); such lines are left out: {shown}",
                        malformed.reason
                    );
                    events.push(translate::notice(NoticeKind::LineMalformed, message));
                    run.first_malformed = Some(shown);
                }
            }
        }
        Ok(())
    }
}

/// The lines of some output, without their line feeds.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(b'\n', text.as_bytes());
    let mut start = 0;
    ends.filter_map(move |end| text.get(mem::replace(&mut start, end + 1)..end))
}
