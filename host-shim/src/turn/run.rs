//! A turn from the workspace's lock to the component's last event.

use std::future::ready;
use std::path::PathBuf;
use std::pin::pin;

use wasmtime::{Store, Trap};

use super::loaded::Loaded;
use super::sink::{Sent, Sink};
use crate::capability::bindings::turns as wit;
use crate::capability::budget::{self, Exceeded};
use crate::capability::{CodexCtx, NoAnswer};
use crate::codex::stop::{Bounds, StopCause};
use crate::config::guest_limits::{MAX_CALL_BYTES, MAX_STACK_BYTES};
use crate::contract::event::{Event, FailureKind, StopReason};
use crate::contract::request::Request;
use crate::contract::thread_id;
use crate::engine::load_error::ran_out;
use crate::telemetry::metrics::Meter;

/// Runs the component. Whatever happens in there, the caller gets exactly one end.
pub(super) async fn run(
    loaded: &Loaded,
    workspace: PathBuf,
    request: Request,
    bounds: Bounds,
    meter: &Meter,
    mut sink: Sink,
) {
    let codex = &loaded.codex;
    let ticking = Some(loaded.tick());
    let prepared = codex.prepare(workspace, request, bounds, meter, ticking);
    let (ctx, request) = match prepared.await {
        Ok(prepared) => prepared,
        Err(end) => return sink.send_end(end).await,
    };
    let mut store = loaded.store(ctx);
    let end = drive(loaded, &mut store, &request, &mut sink).await;
    // Whoever hears of the end finds nothing of the turn running, and the conversation kept.
    let mut events = store.data_mut().close(end.unwrap_or_else(|end| end)).await;
    let end = events.pop().unwrap_or_else(unsaid);
    let mut sending = pin!(async {
        for notice in events {
            // A caller that does not take it gets the end all the same.
            let _taken = sink.send(notice, 0).await;
        }
        sink.send_end(end).await;
    });
    let at_once = tokio::select! {
        biased;
        () = &mut sending => true,
        () = ready(()) => false,
    };
    if at_once {
        // To give the component's memory back takes a twentieth of a short turn. The caller need not wait for it.
        tokio::task::yield_now().await;
    }
    // With it go the turn's slot and its place in the queue. A caller that takes no events must not hold up other turns.
    drop(store);
    if !at_once {
        sending.await;
    }
}

/// Runs the component in its store, which may leave a codex running, and returns how the turn ends. An error is an end that
/// the component has not said.
async fn drive(
    loaded: &Loaded,
    store: &mut Store<CodexCtx>,
    request: &wit::Request,
    sink: &mut Sink,
) -> Result<Event, Event> {
    let world = loaded
        .pre
        .instantiate_async(&mut *store)
        .await
        .map_err(|error| stopped(store, &error))?;
    let failed = |kind, message: &str| Event::failed(kind, StopReason::Error, message.to_owned());
    let turns = world.plexum_provider_turns().turn();
    let turn = match turns
        .call_start(&mut *store, request)
        .await
        .map_err(|error| too_large(store).unwrap_or_else(|| stopped(store, &error)))?
    {
        Ok(turn) => turn,
        Err(failure) => {
            let failure = Some(failure.into());
            return Err(Event::MessageEnd {
                stop_reason: StopReason::Error,
                usage: None,
                thread_usage: None,
                failure,
            });
        }
    };
    let mut cancelled = false;
    loop {
        // Codex is stopped by now. A component that waits for nothing of ours has to be asked.
        let cause = store.data().bounds.stop.cause();
        if !cancelled && matches!(cause, Some(StopCause::Cancelled | StopCause::SessionLost)) {
            cancelled = true;
            let asked = turns.call_cancel(&mut *store, turn).await;
            asked.map_err(|error| stopped(store, &error))?;
        }
        let events = turns
            .call_next(&mut *store, turn)
            .await
            .map_err(|error| stopped(store, &error))?;
        if events.is_empty() {
            return Err(unsaid());
        }
        if let Err(exceeded) = store.data_mut().budget.take_events(&events) {
            return Err(stopped(store, &exceeded.into()));
        }
        for event in events {
            if let wit::Event::MessageStart(start) = &event
                && !thread_id::is_plain(&start.thread_id)
            {
                let message = "The component reported a thread id that is not valid: report this, with the version of the component.";
                return Err(failed(FailureKind::Internal, message));
            }
            if let wit::Event::MessageEnd(_) = event {
                return Ok(event.into());
            }
            let bytes = budget::memory(&event);
            match sink.send(event.into(), bytes).await {
                Sent::Taken => {}
                Sent::Unwanted => return Err(unwanted()),
                Sent::TooLate(cause) => return Err(not_taken(cause)),
            }
        }
    }
}

/// The end of a turn that the component has ended without one.
fn unsaid() -> Event {
    let message = "The component ended the turn without saying how: report this, with the version of the component.";
    Event::failed(FailureKind::Internal, StopReason::Error, message.to_owned())
}

/// The end of a turn whose caller is gone, and does not hear of it.
fn unwanted() -> Event {
    let message = "The turn was dropped.";
    Event::failed_for_now(FailureKind::Killed, StopReason::Aborted, message.to_owned())
}

/// The end of a turn whose request does not fit into the component's memory, if that is why it did not begin.
fn too_large(store: &Store<CodexCtx>) -> Option<Event> {
    let Some(Exceeded::Memory(mib)) = store.data().budget.declined() else {
        return None;
    };
    let message = format!(
        "The request is larger than the component can take in its {mib} MiB of memory: send fewer or shorter messages, or raise `guest.memory_mib` in config.json."
    );
    Some(Event::failed(
        FailureKind::PromptTooLarge,
        StopReason::Error,
        message,
    ))
}

/// The end of a turn whose component was stopped.
fn stopped(store: &Store<CodexCtx>, error: &wasmtime::Error) -> Event {
    if let Some(NoAnswer(cause)) = error.downcast_ref() {
        return no_answer(*cause);
    }
    tracing::error!(error = format!("{error:?}"), "the component was stopped");
    let budget = &store.data().budget;
    // If a request for memory was declined, the error is a trap of the component's own.
    let exceeded = error.downcast_ref().or_else(|| budget.declined());
    let (kind, stop_reason) = match exceeded {
        Some(Exceeded::Stopped) => (FailureKind::Killed, StopReason::Aborted),
        Some(Exceeded::Refusals(_)) => (FailureKind::Denied, StopReason::Error),
        _ => (FailureKind::Internal, StopReason::Error),
    };
    let cause = error.root_cause().to_string();
    if exceeded.is_none()
        && let Some(limit) = ran_out(error).or(budget.ran_out())
    {
        let message =
            format!("The component could not run: {limit}. Free some of it, then try again.");
        return Event::failed_for_now(FailureKind::Resources, StopReason::Error, message);
    }
    let cause = match exceeded {
        Some(exceeded) => exceeded.to_string(),
        None if error.downcast_ref() == Some(&Trap::StackOverflow) => {
            format!("its calls nested deeper than {MAX_STACK_BYTES} bytes of stack allow")
        }
        // The engine has no type for this one.
        None if cause.contains("fuel allocated for hostcalls") => {
            format!("it handed over more than {MAX_CALL_BYTES} bytes in one call")
        }
        None => cause,
    };
    let last_words = budget
        .last_words()
        .map(|words| format!(" The last error that it reported: {words}."));
    let message = format!(
        "The component was stopped: {cause}.{} Report this, with the version of the component.",
        last_words.unwrap_or_default()
    );
    Event::failed(kind, stop_reason, message)
}

/// The end of a turn whose caller does not take its events.
fn not_taken(cause: StopCause) -> Event {
    let failed =
        |kind, reason, message: &str| Event::failed_for_now(kind, reason, message.to_owned());
    match cause {
        StopCause::TurnTimeout => failed(
            FailureKind::TurnTimeout,
            StopReason::Error,
            "The turn took longer than allowed (`limits.turn_seconds` in config.json), because the caller did not take its events.",
        ),
        _ => failed(
            FailureKind::Killed,
            StopReason::Aborted,
            "The turn was stopped, and the caller did not take its events within the grace period (`limits.grace_seconds` in config.json): the last events were dropped. The conversation is kept.",
        ),
    }
}

/// The end of a turn whose session store does not answer.
fn no_answer(cause: StopCause) -> Event {
    let (kind, reason) = match cause {
        StopCause::TurnTimeout => (FailureKind::TurnTimeout, StopReason::Error),
        _ => (FailureKind::Killed, StopReason::Aborted),
    };
    let message = "The turn had to end while the session store did not answer: check the disk or the service that keeps sessions.";
    Event::failed_for_now(kind, reason, message.to_owned())
}
