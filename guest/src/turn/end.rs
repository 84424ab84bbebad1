//! How a turn ends, or begins again with another process.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::run::Run;
use crate::bindings::codex::{Exit, ExitStatus, StopCause};
use crate::bindings::log::Level;
use crate::bindings::settings::LostSession;
use crate::bindings::turns::{
    Event, Failure, FailureKind, MessageEnd, NoticeKind, ReplacementReason, StopReason, Usage,
};
use crate::capability::Capabilities;
use crate::conversation::session::{Beginning, Replaced};
use crate::conversation::thread::Thread;
use crate::conversation::usage;
use crate::failure::{self, Evidence};
use crate::notice::notice;
use crate::request::replay::Reason;
use crate::translate::Outcome;
use crate::transport::stderr::last_words;

/// What comes after a process.
pub enum Next {
    /// Nothing: the end has been reported.
    Over,
    /// Another process. With a reason, it is given what was said before.
    Again {
        beginning: Beginning,
        replay: Option<Reason>,
    },
}

/// Standard output is over: reports how the turn ended, unless it can begin again.
pub fn conclude<C: Capabilities>(
    host: &C,
    policy: LostSession,
    has_history: bool,
    mut run: Run<C>,
    events: &mut Vec<Event>,
) -> Next {
    let exit = run.process.wait();
    run.translator.close_open_tools(events);
    if exit.stopped.is_none() {
        events.extend(left_behind(&exit).map(|message| notice(NoticeKind::Warning, message)));
    }
    // Behind the end that codex has reported, it counts nothing more.
    let totals = run.translator.outcome().and(run.process.totals());
    let (said, kind) = match run.translator.outcome() {
        Some(Outcome::Completed {
            totals: with_the_end,
        }) => {
            if exit.status != ExitStatus::Code(0) {
                let message = format!(
                    "codex completed the turn and then ended with {}",
                    failure::status_words(&exit.status)
                );
                host.log(Level::Warn, &message);
            }
            let totals = with_the_end.or(totals);
            let end = completed(host, &run, totals, events);
            events.push(end);
            return Next::Over;
        }
        Some(Outcome::Failed { message, kind }) => (Some(message.as_str()), *kind),
        Some(Outcome::Interrupted) => (run.translator.pending_error(), Some(FailureKind::Killed)),
        None => (run.translator.pending_error(), None),
    };
    let is_interrupted = run.translator.outcome() == Some(&Outcome::Interrupted);
    let used = run.translator.used().copied();
    if !is_interrupted
        && let Some(said) = said
        && let Some(stop_reason) = failure::cut_off(said)
    {
        events.push(notice(NoticeKind::Warning, said));
        if let Some(totals) = &totals {
            let totals = usage::to_totals(totals);
            run.thread.keep_totals(host, totals, events);
        }
        events.push(Event::MessageEnd(MessageEnd {
            stop_reason,
            usage: used.and_then(|used| used.turn).filter(usage::is_counted),
            thread_usage: used.map(|used| used.totals).filter(usage::is_counted),
            failure: None,
        }));
        return Next::Over;
    }
    let failure = failure::classify(&Evidence {
        said,
        kind,
        exit: &exit,
        last_words: last_words(&exit.stderr),
        turn_began: run.translator.turn_began(),
        malformed: run.malformed,
        first_malformed: run.first_malformed.as_deref(),
    });
    // A turn that had begun is never repeated: its tools may have run.
    if !run.thread.is_open() && !run.translator.turn_began() {
        let stopped = exit.stopped;
        return not_begun(
            host,
            policy,
            has_history,
            run.thread,
            failure,
            stopped,
            events,
        );
    }
    match (totals, failure.kind) {
        (Some(totals), _) => {
            let totals = usage::to_totals(&totals);
            run.thread.keep_totals(host, totals, events);
        }
        // Codex counts from 0 after this.
        (None, FailureKind::ContextOverflow) => run.thread.keep_totals(host, usage::ZERO, events),
        // A turn that was stopped may have spent tokens that codex had not reported yet.
        _ if exit.stopped.is_none() => run.thread.confirm_totals(host),
        _ => {}
    }
    events.push(Event::MessageEnd(MessageEnd {
        stop_reason: match exit.stopped {
            // Somebody else has interrupted it.
            None if is_interrupted => StopReason::Aborted,
            stopped => stop_reason(stopped),
        },
        usage: used.and_then(|used| used.turn).filter(usage::is_counted),
        thread_usage: used.map(|used| used.totals).filter(usage::is_counted),
        failure: Some(failure),
    }));
    Next::Over
}

/// The turn failed before anything happened: it may begin again.
pub fn not_begun<C: Capabilities>(
    host: &C,
    policy: LostSession,
    has_history: bool,
    thread: Thread,
    failure: Failure,
    stopped: Option<StopCause>,
    events: &mut Vec<Event>,
) -> Next {
    match (failure.kind, thread.asked_for()) {
        (FailureKind::SessionLost, Some(lost)) if policy != LostSession::Fail => {
            return replace_lost(lost, policy == LostSession::Replay && has_history);
        }
        // Another process, perhaps a codex in a terminal, is using the thread.
        (FailureKind::SessionBusy, Some(_)) if stopped.is_none() && host.back_off() => {
            return Next::Again {
                beginning: thread.into_beginning(),
                replay: None,
            };
        }
        _ => {}
    }
    events.push(failed(stop_reason(stopped), failure));
    Next::Over
}

fn stop_reason(stopped: Option<StopCause>) -> StopReason {
    match stopped {
        Some(StopCause::Cancelled | StopCause::Terminated) => StopReason::Aborted,
        _ => StopReason::Error,
    }
}

/// Codex no longer has the conversation, and has done nothing yet: begins another one.
fn replace_lost(lost: &str, replays: bool) -> Next {
    let message = if replays {
        "Codex no longer has the stored thread; a new one was started and given the earlier messages."
    } else {
        "Codex no longer has the stored thread; a new one was started without the earlier messages."
    };
    let replaces = Some(Replaced {
        old: lost.to_owned(),
        reason: ReplacementReason::Lost,
        message,
    });
    Next::Again {
        beginning: Beginning::Fresh { replaces },
        replay: replays.then_some(Reason::Lost),
    }
}

/// The end of a turn that codex completed. It is not a success if the answer may be what could not be read: whoever
/// asked would take nothing for the answer.
fn completed<C: Capabilities>(
    host: &C,
    run: &Run<C>,
    totals: Option<Usage>,
    events: &mut Vec<Event>,
) -> Event {
    let thread = &run.thread;
    if let Some(totals) = &totals {
        thread.keep_totals(host, usage::to_totals(totals), events);
    }
    if !thread.is_open() {
        let message = "Codex did not name the thread of this turn, so the conversation is not kept: the next turn begins a new one.";
        events.push(notice(NoticeKind::Warning, message));
    }
    let lost = run.lost_line && !run.translator.has_answered();
    let failure = lost.then(|| failure::failure(FailureKind::Protocol, Some(LOST_ANSWER)));
    Event::MessageEnd(MessageEnd {
        stop_reason: match failure {
            None => StopReason::EndTurn,
            Some(_) => StopReason::Error,
        },
        usage: match run.translator.used() {
            Some(used) => used.turn,
            None => totals.and_then(|totals| thread.usage(&totals)),
        }
        .filter(usage::is_counted),
        thread_usage: totals.filter(usage::is_counted),
        failure,
    })
}

const LOST_ANSWER: &str =
    "it completed the turn, and a line that may have held the answer could not be read";

/// What codex left behind when it exited on its own, for a person.
fn left_behind(exit: &Exit) -> Option<String> {
    let processes = match exit.left_behind {
        0 => None,
        1 => {
            Some("A process that codex had left running was stopped at the end of the turn.".into())
        }
        count => Some(format!(
            "{count} processes that codex had left running were stopped at the end of the turn."
        )),
    };
    let cut = exit.output_cut.then(|| {
        "A process that codex had started kept its output open after codex exited; the rest of the output was discarded.".into()
    });
    processes.or(cut)
}

/// The end of a turn that failed.
pub fn failed(stop_reason: StopReason, failure: Failure) -> Event {
    Event::MessageEnd(MessageEnd {
        stop_reason,
        usage: None,
        thread_usage: None,
        failure: Some(failure),
    })
}
