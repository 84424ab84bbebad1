//! One turn, from the request to its end.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use crate::argv;
use crate::bindings::codex::{Awaited, ExitStatus, RefusalReason, StopCause};
use crate::bindings::log::Level;
use crate::bindings::provider::{
    Event, Failure, FailureKind, MessageEnd, MessageStart, Notice, NoticeKind, Request, StopReason,
    Usage,
};
use crate::bindings::session::{Entry, Totals};
use crate::bindings::settings::{LostSession, ModelArgs, Settings};
use crate::capability::{Capabilities, Child};
use crate::failure::{self, Evidence};
use crate::line::CodexEvent;
use crate::prompt::{self, Prompt, Unusable};
use crate::session::{self, Beginning, Replaced};
use crate::translate::{self, Outcome, Translator};
use crate::usage;

/// How much output to take at a time: enough to make a crossing cheap, little enough
/// to keep memory small.
const BATCH_BYTES: u32 = 64 * 1024;

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
        let model = choose_model(&settings, request.model.as_deref()).map_err(failure::unusable)?;
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
                events.push(end(stop_reason, Some(failure::refused(refusal))));
                State::Over
            }
        }
    }

    /// Takes the next lines, or the end.
    fn advance(&self, mut run: Box<Run<C::Child>>, events: &mut Vec<Event>) -> State<C::Child> {
        let awaiting = if run.translator.tool_is_running() {
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
        for line in output.text.split_terminator('\n') {
            if let Err(GiveUp(failure)) = self.take_line(&mut run, line, events) {
                run.child.terminate();
                run.translator.close_open_tools(events);
                return end_in(failure, events);
            }
        }
        State::Running(run)
    }

    fn take_line(
        &self,
        run: &mut Run<C::Child>,
        line: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), GiveUp> {
        if run.translator.outcome().is_some() {
            self.host.log(
                Level::Warn,
                &format!("codex printed after the end of the turn: {line}"),
            );
            return Ok(());
        }
        match CodexEvent::parse(line) {
            Ok(CodexEvent::ThreadStarted { thread_id }) => {
                self.thread_started(run, thread_id, events)?;
            }
            Ok(CodexEvent::TurnStarted) => run.translator.turn_started(events),
            Ok(CodexEvent::TurnCompleted { totals }) => {
                run.translator.turn_completed(totals, events);
            }
            Ok(CodexEvent::TurnFailed { message }) => run.translator.turn_failed(message),
            Ok(CodexEvent::Error { message }) => run.translator.error(message, events),
            Ok(CodexEvent::Item { phase, item }) => {
                if item.text("type") != Some("error") {
                    self.model_answered(run);
                }
                run.translator.item(phase, &item, events);
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

    /// The conversation is open: from here on a turn that is killed can be resumed, so its id
    /// is kept before anything else happens.
    fn thread_started(
        &self,
        run: &mut Run<C::Child>,
        thread_id: String,
        events: &mut Vec<Event>,
    ) -> Result<(), GiveUp> {
        if run.thread_id.as_deref() == Some(thread_id.as_str()) {
            return Ok(());
        }
        let asked_for = match &run.beginning {
            Beginning::Resume(entry) => Some(entry.thread_id.as_str()),
            Beginning::Fresh { .. } => None,
        };
        let resumed = asked_for.is_some_and(|asked| asked.eq_ignore_ascii_case(&thread_id));
        let resumable = session::is_thread_id(&thread_id);
        if resumable && !resumed {
            let entry = Entry {
                thread_id: thread_id.clone(),
                totals: None,
            };
            self.host
                .save_session(&entry)
                .map_err(|error| GiveUp(unreadable(&error)))?;
        }
        let changed_midway = run.thread_id.is_some();
        let replaced = match (&run.beginning, run.thread_id.take()) {
            (_, Some(earlier)) => Some(other_thread(&earlier)),
            (Beginning::Fresh { replaces }, None) => replaces.clone(),
            (Beginning::Resume(entry), None) if !resumed => Some(other_thread(&entry.thread_id)),
            (Beginning::Resume(_), None) => None,
        };
        if replaced
            .as_ref()
            .is_some_and(|replaced| replaced.reason == OTHER_THREAD)
        {
            // Nobody knows what that thread had counted before.
            run.baseline = None;
            run.stored_totals = false;
        }
        if !changed_midway {
            events.push(Event::MessageStart(MessageStart {
                model: self.model.id.clone(),
                thread_id: thread_id.clone(),
                resumed,
            }));
        }
        if let Some(Replaced {
            old,
            reason,
            message,
        }) = replaced
        {
            events.push(Event::Notice(Notice {
                kind: NoticeKind::SessionReplaced,
                message: message.to_owned(),
                old: Some(old),
                new: Some(thread_id.clone()),
                reason: Some(reason.to_owned()),
            }));
        }
        if !resumable {
            let message = format!(
                "codex named the thread `{thread_id}`, which is no UUID; it is not kept, and the next turn begins a new one."
            );
            events.push(translate::notice(NoticeKind::Warning, message));
        }
        run.thread_id = Some(thread_id);
        Ok(())
    }

    /// The model has answered something, so tokens have been spent. Until codex reports the
    /// totals anew, those that are stored are no longer the ones before the next turn.
    fn model_answered(&self, run: &mut Run<C::Child>) {
        if mem::take(&mut run.stored_totals)
            && let Some(thread_id) = &run.thread_id
        {
            let entry = Entry {
                thread_id: thread_id.clone(),
                totals: None,
            };
            if let Err(error) = self.host.save_session(&entry) {
                self.host.log(
                    Level::Warn,
                    &format!("the stored token totals could not be cleared: {error}"),
                );
            }
        }
    }

    /// Standard output is over: says how the turn ended.
    fn conclude(&self, mut run: Box<Run<C::Child>>, events: &mut Vec<Event>) -> State<C::Child> {
        let exit = run.child.wait();
        run.translator.close_open_tools(events);
        let evidence = match run.translator.outcome() {
            Some(Outcome::Completed { totals }) => {
                if exit.status != ExitStatus::Code(0) {
                    let message = format!(
                        "codex completed the turn and then ended with {}",
                        failure::status_words(&exit.status)
                    );
                    self.host.log(Level::Warn, &message);
                }
                let totals = *totals;
                let end = self.completed(&run, totals, events);
                events.push(end);
                return State::Over;
            }
            Some(Outcome::Failed { message }) => Some(message.as_str()),
            None => run.translator.pending_error(),
        };
        let failure = failure::classify(&Evidence {
            said: evidence,
            exit: &exit,
            turn_began: run.translator.turn_began(),
            malformed: run.malformed,
            first_malformed: run.first_malformed.as_deref(),
        });
        match (failure.kind, &run.beginning, self.settings.lost_session) {
            (FailureKind::SessionLost, Beginning::Resume(entry), policy)
                if run.thread_id.is_none() && policy != LostSession::Fail =>
            {
                return self.begin_anew(&entry.thread_id, policy, events);
            }
            // Somebody else, a codex in a terminal perhaps, is using the thread.
            (FailureKind::SessionBusy, Beginning::Resume(_), _)
                if run.thread_id.is_none() && exit.stopped.is_none() && self.host.back_off() =>
            {
                return self.spawn(run.beginning, &self.prompt.text, events);
            }
            // Codex counts from 0 after this.
            (FailureKind::ContextOverflow, ..) => self.keep_totals(&run, usage::ZERO, events),
            _ => {}
        }
        let stop_reason = match exit.stopped {
            Some(StopCause::Cancelled | StopCause::Terminated) => StopReason::Aborted,
            _ => StopReason::Error,
        };
        events.push(end(stop_reason, Some(failure)));
        State::Over
    }

    /// Codex no longer has the conversation, and has done nothing yet: begins another one.
    fn begin_anew(
        &self,
        lost: &str,
        policy: LostSession,
        events: &mut Vec<Event>,
    ) -> State<C::Child> {
        let (message, text) = match policy {
            LostSession::Replay if !self.prompt.earlier.is_empty() => (
                "Codex no longer has the stored thread; a new one was begun and told the earlier messages.",
                prompt::replay(&self.prompt.earlier, &self.prompt.text),
            ),
            _ => (
                "Codex no longer has the stored thread; a new one was begun without the earlier messages.",
                self.prompt.text.clone(),
            ),
        };
        let replaces = Some(Replaced {
            old: lost.to_owned(),
            reason: "lost",
            message,
        });
        self.spawn(Beginning::Fresh { replaces }, &text, events)
    }

    fn completed(
        &self,
        run: &Run<C::Child>,
        totals: Option<Usage>,
        events: &mut Vec<Event>,
    ) -> Event {
        if let Some(totals) = &totals {
            self.keep_totals(run, usage::to_totals(totals), events);
        }
        Event::MessageEnd(MessageEnd {
            stop_reason: StopReason::EndTurn,
            usage: totals
                .and_then(|totals| usage::since(run.baseline.as_ref(), &totals))
                .filter(usage::is_counted),
            thread_usage: totals.filter(usage::is_counted),
            failure: None,
        })
    }

    fn keep_totals(&self, run: &Run<C::Child>, totals: Totals, events: &mut Vec<Event>) {
        let Some(thread_id) = run
            .thread_id
            .as_ref()
            .filter(|id| session::is_thread_id(id))
        else {
            return;
        };
        let entry = Entry {
            thread_id: thread_id.clone(),
            totals: Some(totals),
        };
        if let Err(error) = self.host.save_session(&entry) {
            let message = format!(
                "The token totals could not be kept, so the next turn cannot tell its own usage: {error}"
            );
            events.push(translate::notice(NoticeKind::Warning, message));
        }
    }
}

/// Why a thread was replaced when codex answered with another one than it was asked for.
const OTHER_THREAD: &str = "other_thread";

fn other_thread(old: &str) -> Replaced {
    Replaced {
        old: old.to_owned(),
        reason: OTHER_THREAD,
        message: "Codex opened another thread than the stored one; from now on that one is kept.",
    }
}

fn choose_model(settings: &Settings, asked: Option<&str>) -> Result<ModelArgs, Unusable> {
    let model = match asked {
        None => settings.models.first(),
        Some(id) => settings.models.iter().find(|model| model.id == id),
    };
    model.cloned().ok_or_else(|| {
        let offered: Vec<&str> = settings.models.iter().map(|model| model.id.as_str()).collect();
        let message = format!(
            "The model `{}` is not on offer; there are: {}. Add it to `supported_models` in config.json, if the account has it.",
            asked.unwrap_or("(default)"),
            offered.join(", ")
        );
        (FailureKind::ModelUnsupported, message)
    })
}

fn unreadable(error: &str) -> Failure {
    failure::failure(FailureKind::SessionUnreadable, Some(error))
}

fn end(stop_reason: StopReason, failure: Option<Failure>) -> Event {
    Event::MessageEnd(MessageEnd {
        stop_reason,
        usage: None,
        thread_usage: None,
        failure,
    })
}

fn end_in<P>(failure: Failure, events: &mut Vec<Event>) -> State<P> {
    events.push(end(StopReason::Error, Some(failure)));
    State::Over
}
