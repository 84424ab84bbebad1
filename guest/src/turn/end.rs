//! How a turn ends.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Run, State, Turn};
use crate::bindings::codex::{Exit, ExitStatus, StopCause};
use crate::bindings::log::Level;
use crate::bindings::provider::{
    Event, Failure, FailureKind, MessageEnd, NoticeKind, StopReason, Usage,
};
use crate::bindings::settings::LostSession;
use crate::capability::{Capabilities, Child};
use crate::conversation::session::{Beginning, Replaced};
use crate::conversation::usage;
use crate::failure::{self, Evidence};
use crate::request::replay::replay;
use crate::translate::{self, Outcome};

impl<C: Capabilities> Turn<C> {
    /// Standard output is over: says how the turn ended.
    pub(super) fn conclude(
        &self,
        mut run: Box<Run<C::Child>>,
        events: &mut Vec<Event>,
    ) -> State<C::Child> {
        let exit = run.child.wait();
        run.translator.close_open_tools(events);
        if exit.stopped.is_none() {
            events.extend(
                left_behind(&exit).map(|message| translate::notice(NoticeKind::Warning, message)),
            );
        }
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
        // A turn that had begun is never made again: its tools may have run.
        let nothing_happened = run.thread_id.is_none() && !run.translator.turn_began();
        match (failure.kind, &run.beginning, self.settings.lost_session) {
            (FailureKind::SessionLost, Beginning::Resume(entry), policy)
                if nothing_happened && policy != LostSession::Fail =>
            {
                return self.begin_anew(&entry.thread_id, policy, events);
            }
            // Somebody else, a codex in a terminal perhaps, is using the thread.
            (FailureKind::SessionBusy, Beginning::Resume(_), _)
                if nothing_happened && exit.stopped.is_none() && self.host.back_off() =>
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
        events.push(failed(stop_reason, failure));
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
                replay(&self.prompt.earlier, &self.prompt.text),
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
}

/// What codex left behind when it ended by itself, for a person.
fn left_behind(exit: &Exit) -> Option<String> {
    let processes = match exit.left_behind {
        0 => None,
        1 => Some(
            "A process that codex had started and left running was ended with the turn.".into(),
        ),
        count => Some(format!(
            "{count} processes that codex had started and left running were ended with the turn."
        )),
    };
    let cut = exit.output_cut.then(|| {
        "Something that codex had started still held its output when it had ended; the rest of the output was given up.".into()
    });
    processes.or(cut)
}

/// A session that cannot be read or written.
pub(super) fn unreadable(error: &str) -> Failure {
    failure::failure(FailureKind::SessionUnreadable, Some(error))
}

/// The end of a turn that failed.
pub(super) fn failed(stop_reason: StopReason, failure: Failure) -> Event {
    Event::MessageEnd(MessageEnd {
        stop_reason,
        usage: None,
        thread_usage: None,
        failure: Some(failure),
    })
}

/// The same, when nothing runs any more.
pub(super) fn end_in<P>(failure: Failure, events: &mut Vec<Event>) -> State<P> {
    events.push(failed(StopReason::Error, failure));
    State::Over
}
